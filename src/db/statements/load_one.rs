//! Loading of one row by a statement that has ended.

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel_async::methods::LoadQuery;
use diesel_async::return_futures::LoadFuture;
use diesel_async::{AsyncConnectionCore, RunQueryDsl};
use futures_util::FutureExt;
use futures_util::future::Map;

type Rows<U> = QueryResult<Vec<U>>;
type FirstOf<Load, U> = Map<Load, fn(Rows<U>) -> QueryResult<U>>;

/// Diesel's `get_result` and `first` return with the first row and don't look at the rest. PostgreSQL sends rows while
/// a statement runs, before its triggers and before its commit: whatever fails later would be taken for done.
pub(in crate::db) trait LoadOne<Conn: AsyncConnectionCore>: RunQueryDsl<Conn> {
    /// The first row, once the statement has ended and, outside of a transaction, has committed.
    fn load_one<'query, 'conn, U>(
        self,
        conn: &'conn mut Conn,
    ) -> FirstOf<LoadFuture<'conn, 'query, Self, Conn, U>, U>
    where
        U: Send,
        Self: LoadQuery<'query, Conn, U> + 'query,
    {
        self.load::<U>(conn).map(first as fn(Rows<U>) -> QueryResult<U>)
    }
}

impl<Conn: AsyncConnectionCore, Q: RunQueryDsl<Conn>> LoadOne<Conn> for Q {}

fn first<U>(rows: Rows<U>) -> QueryResult<U> {
    rows?.into_iter().next().ok_or(DieselError::NotFound)
}
