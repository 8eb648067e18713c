//! The clock that decides. Times in rows come from the database's and are compared with it alone, however wrong those of the roles are.

use std::time::Duration;

use diesel::dsl::AsExprOf;
use diesel::expression::{SqlLiteral, UncheckedBind};
use diesel::pg::data_types::PgInterval;
use diesel::prelude::*;
use diesel::sql_types::{Interval, Timestamptz};
use diesel_async::AsyncPgConnection;

use super::columns::TimeColumn;
use super::retry::retry_read;
use super::statements::load_one::LoadOne;
use super::{Db, DbError};
use crate::domain::Timestamp;

/// SQL expression for a point in time.
pub(super) type Moment = UncheckedBind<SqlLiteral<Timestamptz>, AsExprOf<PgInterval, Interval>>;

/// Makes the time `span` before the current transaction began.
pub(super) fn ago(span: Duration) -> Moment {
    diesel::dsl::sql("now() - ").bind::<Interval, _>(interval(span))
}

/// Makes the time `span` after the statement runs, which may be long after the transaction began.
pub(super) fn from_now(span: Duration) -> Moment {
    diesel::dsl::sql("clock_timestamp() + ").bind::<Interval, _>(interval(span))
}

/// Converts a duration, limited to a thousand years so that adding it never overflows.
pub(super) fn interval(span: Duration) -> PgInterval {
    const LONGEST: Duration = Duration::from_hours(1000 * 365 * 24);
    PgInterval::from_microseconds(i64::try_from(span.min(LONGEST).as_micros()).unwrap_or(i64::MAX))
}

/// Reads the time at which the current transaction began.
pub(super) async fn now(conn: &mut AsyncPgConnection) -> QueryResult<Timestamp> {
    let now = diesel::select(diesel::dsl::now.into_sql::<Timestamptz>());
    Ok(Timestamp::from(now.load_one::<TimeColumn>(conn).await?))
}

impl Db {
    /// Reads the database's clock.
    pub async fn now(&self) -> Result<Timestamp, DbError> {
        retry_read!(self.run(async |conn| now(conn).await))
    }
}
