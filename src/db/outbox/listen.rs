//! LISTEN: being woken by what other processes commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

use super::Outbox;
use crate::db::pool::connection::{Opened, cause, closed, driven};
use crate::db::{DbError, limits};

/// Notified when a transaction that wrote outbox rows has committed.
pub(in crate::db) const OUTBOX: &str = "filesys_outbox";

/// Payload when the committing process publishes the rows itself, so that other relays need not query.
const SETTLED: &str = "settled";

/// Returns the payload of the notification that a commit sends.
pub(in crate::db) const fn payload(is_leased: bool) -> &'static str {
    if is_leased { SETTLED } else { "" }
}

impl Outbox<'_> {
    /// Wakes `wake` at every commit of outbox rows that anybody may publish, anywhere, until `stop`. Holds one connection of its own and
    /// opens another when it breaks; wakes once after each connect, for what was missed.
    pub async fn listen(self, wake: Arc<Notify>, reconnect_after: Duration, stop: CancellationToken) {
        let listening = async {
            loop {
                // Relays poll meanwhile.
                let listened = self.listen_once(&wake).await;
                self.db.changes.set_listening(false);
                if let Err(error) = listened {
                    self.db.outage.fails(error);
                }
                tokio::time::sleep(reconnect_after).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listening => {}
        }
        self.db.changes.set_listening(false);
    }

    async fn listen_once(self, wake: &Notify) -> Result<(), DbError> {
        let Opened { client, mut connection, .. } = self.db.connector.open().await?;
        let listen = format!("LISTEN {OUTBOX}");
        let listening = driven(&mut connection, client.batch_execute(&listen));
        let listening =
            tokio::time::timeout(limits::CONNECT, listening).await.map_err(|_| DbError::TimedOut)?;
        listening.map_err(|error| error.map_or_else(closed, |error| cause(&error, true)))?;
        self.db.changes.set_listening(true);
        wake.notify_one();
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            let AsyncMessage::Notification(notification) = message.map_err(|error| cause(&error, true))?
            else {
                continue;
            };
            self.db.changes.record();
            if notification.payload() != SETTLED {
                wake.notify_one();
            }
        }
        Err(closed())
    }
}
