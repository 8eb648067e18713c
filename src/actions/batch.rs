//! A batch is applied all together; where that is refused, item by item, so that only the culprit fails.

use futures_util::future::BoxFuture;

use crate::domain::{Error, ErrorKind, Result};

/// Returns the answers of `together`, one for each item, in order. If it failed as a whole and not because a dependency is
/// unavailable, each item is applied by itself.
pub(crate) async fn else_each<'a, T, R>(
    together: Result<Vec<Result<R>>>,
    items: &'a [T],
    apply: impl Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<Result<R>>>>,
) -> Vec<Result<R>> {
    let error = match together {
        Ok(answers) => return answers,
        Err(error) => error,
    };
    log::debug!(items = items.len(), error:% = error.chain(); "batch refused");
    if error.kind == ErrorKind::Unavailable || items.len() < 2 {
        return items.iter().map(|_| Err(error.copy())).collect();
    }
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        let alone = apply(std::slice::from_ref(item)).await;
        let missing = || Err(Error::internal("an item of a batch without an answer"));
        answers.push(alone.and_then(|answers| answers.into_iter().next().unwrap_or_else(missing)));
    }
    answers
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::domain::ErrorCode;

    async fn outcome(code: ErrorCode, items: &[i32]) -> Vec<Option<i32>> {
        let apply = |items: &[i32]| match items {
            items if items.contains(&13) => Err(Error::new(code, "13 is refused")),
            items => Ok(items.iter().map(|item| Ok(item * 10)).collect()),
        };
        let answers = else_each(apply(items), items, |one| async move { apply(one) }.boxed()).await;
        answers.into_iter().map(Result::ok).collect()
    }

    #[tokio::test]
    async fn only_the_refused_item_fails() {
        assert_eq!(outcome(ErrorCode::Internal, &[1, 13, 2]).await, [Some(10), None, Some(20)]);
        assert_eq!(outcome(ErrorCode::Internal, &[1, 2]).await, [Some(10), Some(20)]);
        assert_eq!(outcome(ErrorCode::Internal, &[13]).await, [None]);
    }

    #[tokio::test]
    async fn nothing_is_tried_again_while_a_dependency_is_unavailable() {
        assert_eq!(outcome(ErrorCode::DatabaseUnavailable, &[1, 13, 2]).await, [None, None, None]);
    }
}
