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

/// An expression.
pub(super) type Moment = UncheckedBind<SqlLiteral<Timestamptz>, AsExprOf<PgInterval, Interval>>;

/// So long before the transaction under way began.
pub(super) fn ago(span: Duration) -> Moment {
    diesel::dsl::sql("now() - ").bind::<Interval, _>(interval(span))
}

/// So long after this very moment: a transaction may have taken a while by then.
pub(super) fn from_now(span: Duration) -> Moment {
    diesel::dsl::sql("clock_timestamp() + ").bind::<Interval, _>(interval(span))
}

/// Up to a thousand years, which every time can be moved by.
pub(super) fn interval(span: Duration) -> PgInterval {
    const LONGEST: Duration = Duration::from_hours(1000 * 365 * 24);
    PgInterval::from_microseconds(i64::try_from(span.min(LONGEST).as_micros()).unwrap_or(i64::MAX))
}

/// When the transaction under way began.
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
