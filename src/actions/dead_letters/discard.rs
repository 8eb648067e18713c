//! Discard a dead letter: nothing more is to be done about its record. Needs PostgreSQL alone.

use super::list::not_found;
use super::replay::settlement;
use crate::actions::{Guard, LettersContext};
use crate::domain::{DeadLetter, Error, ErrorKind, LetterId, LetterState, Result};

/// Discards a dead letter. One that is discarded already is no error; one that was replayed is a `Conflict`.
pub async fn discard(ctx: &LettersContext, id: LetterId) -> Result<()> {
    discard_if(ctx, id, Guard::none()).await
}

/// Does what [`discard`] does, if the guard allows it.
pub async fn discard_if(ctx: &LettersContext, id: LetterId, guard: Guard<DeadLetter>) -> Result<()> {
    let settled = ctx.db.settle_dead_letter(id, move |letter, _, _| match letter.state {
        LetterState::Open => match guard.check(&letter) {
            Ok(()) => (Some(settlement(LetterState::Discarded)), Ok(())),
            Err(error) => (None, Err(error)),
        },
        LetterState::Discarded => (None, guard.check(&letter)),
        LetterState::Replayed => {
            let detail = format!("dead letter {id} was replayed; there is nothing left to discard");
            (None, Err(Error::new(ErrorKind::Conflict, "letter_settled", detail)))
        }
    });
    settled.await?.ok_or_else(|| not_found(id))?
}
