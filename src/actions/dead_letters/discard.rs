//! Discard a dead letter: nothing more is to be done about its record. Needs PostgreSQL alone.

use super::list::not_found;
use super::replay::resolution;
use crate::actions::{DeadLettersContext, Guard};
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterState, Error, ErrorCode, Result};

/// Discards a dead letter. One that is discarded already is no error; one that was replayed is a `Conflict`.
pub async fn discard(ctx: &DeadLettersContext, id: DeadLetterId) -> Result<()> {
    discard_if(ctx, id, Guard::none()).await
}

/// Does what [`discard`] does, if the guard allows it.
pub async fn discard_if(ctx: &DeadLettersContext, id: DeadLetterId, guard: Guard<DeadLetter>) -> Result<()> {
    let resolved = ctx.db.dead_letters().resolve(id, move |dead_letter, _, _| match dead_letter.state {
        DeadLetterState::Open => match guard.check(&dead_letter) {
            Ok(()) => (Some(resolution(DeadLetterState::Discarded)), Ok(())),
            Err(error) => (None, Err(error)),
        },
        DeadLetterState::Discarded => (None, guard.check(&dead_letter)),
        DeadLetterState::Replayed => {
            let detail = format!("dead letter {id} was replayed; there is nothing left to discard");
            (None, Err(Error::new(ErrorCode::DeadLetterSettled, detail)))
        }
    });
    resolved.await?.ok_or_else(|| not_found(id))?
}
