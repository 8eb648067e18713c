//! `file.created` → `files::record_results`: what `serve` does with what workers say.

use async_trait::async_trait;

use super::requests::value;
use super::{Handler, Turn};
use crate::actions::ServeContext;
use crate::actions::dead_letters;
use crate::actions::files;
use crate::broker::Delivery;
use crate::domain::messages::file_created::FileResult;
use crate::domain::messages::named_file;
use crate::domain::{Error, Result};

pub struct Results {
    pub ctx: ServeContext,
}

#[async_trait]
impl Handler for Results {
    async fn handle(&self, batch: &[Delivery], _turn: &Turn) -> Vec<Result<()>> {
        let mut readable = Vec::with_capacity(batch.len());
        let mut answers: Vec<Result<()>> = Vec::with_capacity(batch.len());
        let mut places = Vec::with_capacity(batch.len());
        for (index, delivery) in batch.iter().enumerate() {
            let read = FileResult::read(value(delivery)).map_err(Error::from);
            answers.push(read.map(|result| {
                readable.push(result);
                places.push(index);
            }));
        }
        let applied = files::record_results(&self.ctx, readable).await;
        for (index, answer) in places.into_iter().zip(applied) {
            answers[index] = answer;
        }
        answers
    }

    async fn give_up(&self, delivery: &Delivery, error: &Error) -> Result<()> {
        let file = named_file(value(delivery));
        dead_letters::publish(&*self.ctx.broker, delivery, file, error).await
    }
}
