//! Cache of query results that many clients poll: read once after each change of the rows, not once for each client.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::domain::{Error, Result};

/// Age past which an answer is read again, in case the notification of a change was lost.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Queries whose answers are kept at once.
const CAPACITY: usize = 256;

type Answer<T> = Shared<BoxFuture<'static, Result<Arc<T>, Arc<Error>>>>;

struct Entry<T> {
    version: u64,
    since: Instant,
    answer: Answer<T>,
}

impl<T> Entry<T> {
    fn is_fresh(&self, version: Option<u64>) -> bool {
        version == Some(self.version) && self.since.elapsed() < MAX_AGE
    }
}

/// The latest answer to each query.
pub(crate) struct QueryCache<Q, T>(Mutex<HashMap<Q, Entry<T>>>);

impl<Q, T> Default for QueryCache<Q, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Eq + Hash + Clone, T: Send + Sync + 'static> QueryCache<Q, T> {
    /// Returns the answer as of `version` or later. Concurrent callers share one read; without a version nothing is shared,
    /// because changes would go unnoticed.
    pub async fn get<F>(&self, query: &Q, version: Option<u64>, read: impl FnOnce() -> F) -> Result<Arc<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let Some(version) = version else { return Ok(Arc::new(read().await?)) };
        let answer = self.answer(query, version, read);
        answer.await.map_err(|error| {
            // An error is not cached: the next caller reads again.
            self.entries().remove(query);
            error.copy()
        })
    }

    /// Returns the answer if it has been read already.
    pub fn cached(&self, query: &Q, version: Option<u64>) -> Option<Arc<T>> {
        let entries = self.entries();
        let entry = entries.get(query).filter(|entry| entry.is_fresh(version))?;
        entry.answer.peek()?.as_ref().ok().cloned()
    }

    fn answer<F>(&self, query: &Q, version: u64, read: impl FnOnce() -> F) -> Answer<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(query).filter(|entry| entry.is_fresh(Some(version))) {
            return entry.answer.clone();
        }
        if entries.len() >= CAPACITY {
            entries.retain(|_, entry| entry.since.elapsed() < MAX_AGE);
        }
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        let reading = read();
        let answer = async move { reading.await.map(Arc::new).map_err(Arc::new) }.boxed().shared();
        let entry = Entry { version, since: Instant::now(), answer: answer.clone() };
        entries.insert(query.clone(), entry);
        answer
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<Q, Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Source {
        reads: Arc<AtomicU32>,
        cache: QueryCache<&'static str, u32>,
    }

    impl Source {
        async fn ask(&self, query: &'static str, version: Option<u64>) -> u32 {
            let reads = Arc::clone(&self.reads);
            let read = || async move {
                tokio::task::yield_now().await;
                Ok(reads.fetch_add(1, Ordering::SeqCst) + 1)
            };
            *self.cache.get(&query, version, read).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_thousand_who_ask_after_one_change_share_one_answer() {
        let source = Source::default();
        let asked = futures_util::future::join_all((0..1000).map(|_| source.ask("page", Some(1))));
        assert_eq!(asked.await, [1; 1000]);
        assert_eq!(source.ask("page", Some(1)).await, 1);
        assert_eq!(source.cache.cached(&"page", Some(1)).as_deref(), Some(&1));
        for (query, version) in [("page", Some(2)), ("page", None), ("other", Some(1))] {
            assert_eq!(source.cache.cached(&query, version), None);
        }
    }

    #[tokio::test]
    async fn after_a_change_and_for_another_query_it_is_read_again() {
        let source = Source::default();
        assert_eq!(source.ask("page", Some(1)).await, 1);
        assert_eq!(source.ask("page", Some(2)).await, 2);
        assert_eq!(source.ask("other", Some(2)).await, 3);
        assert_eq!(source.ask("page", Some(2)).await, 2);
    }

    #[tokio::test]
    async fn without_word_of_changes_everybody_reads() {
        let source = Source::default();
        assert_eq!(source.ask("page", None).await, 1);
        assert_eq!(source.ask("page", None).await, 2);
    }

    #[tokio::test]
    async fn an_error_is_everybodys_and_is_not_kept() {
        let cache: QueryCache<&str, u32> = QueryCache::default();
        let away = || async { Err(Error::internal("away")) };
        let (one, other) = tokio::join!(cache.get(&"page", Some(1), away), cache.get(&"page", Some(1), away));
        assert_eq!((one.unwrap_err().detail, other.unwrap_err().detail), ("away".into(), "away".into()));
        assert_eq!(*cache.get(&"page", Some(1), || async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn no_more_querys_are_kept_than_are_worth_it() {
        let cache: QueryCache<usize, usize> = QueryCache::default();
        for query in 0..10 * CAPACITY {
            cache.get(&query, Some(1), || async move { Ok(query) }).await.unwrap();
        }
        assert!(cache.entries().len() <= CAPACITY);
    }
}
