//! Repair what a comparison found: each finding is checked again while its file is locked. Repeating it does no harm.

use std::time::Duration;

use super::classify::{Classification, classify, named_key};
use super::reads::{Reads, store};
use super::report::Subject;
use super::{Finding, Kind, Report, Stage, Watch};
use crate::actions::files::transition::{self, Details};
use crate::actions::{files, uploads};
use crate::config::EventsConfig;
use crate::db::Db;
use crate::db::files::ObjectReference;
use crate::domain::files::status::Transition;
use crate::domain::messages::file_create::CreateFile;
use crate::domain::{ErrorKind, File, FileId, Result, Status, Timestamp};
use crate::generators;
use crate::storage::{Storage, Stored, UnfinishedUpload, object_keys};

/// Reason why an uploaded file is left as it is.
const NOT_REMADE: &str = "nobody but its owner has the bytes of an uploaded file: put the object back from a backup, or delete the file";

/// Outcome of the repair of one finding.
enum Outcome {
    Repaired(&'static str),
    Left(String),
}

#[derive(Debug, Clone)]
pub struct RepairOptions {
    /// Objects that are younger stay.
    pub before: Timestamp,
    /// Time from republishing a file's request to the file's deadline.
    pub deadline: Duration,
    pub events: EventsConfig,
}

struct Repairer<'a> {
    reads: Reads<'a>,
    bucket: String,
    /// Objects that are younger stay.
    before: Timestamp,
    last: FileId,
    /// Reason why no orphan may be removed.
    refusal: Option<&'static str>,
    /// Time from republishing a file's request to the file's deadline.
    deadline: Duration,
    events: EventsConfig,
}

/// Tries to repair each listed finding and records the outcome in it. `Unavailable` when PostgreSQL or S3 is away;
/// what was repaired by then stays so.
pub async fn repair(
    db: &Db,
    storage: &Storage,
    report: &mut Report,
    terms: RepairOptions,
    watch: Watch<'_>,
) -> Result<()> {
    let RepairOptions { before, deadline, events } = terms;
    let bucket = storage.bucket_name();
    let last = db.files().last_id().await?;
    let orphans = report.count(Kind::OrphanObject).found;
    let refusal = foreign(orphans, report.named);
    let repairer = Repairer { reads: Reads { db, storage }, bucket, before, last, refusal, deadline, events };
    if report.count(Kind::OverdueFile).found > 0 {
        files::expire(db, &repairer.events).await?;
        uploads::expire_all(db, &repairer.events).await?;
    }
    let total = report.findings.len() as u64;
    let mut findings = std::mem::take(&mut report.findings);
    for (done, finding) in (1..).zip(&mut findings) {
        let (kind, file_id, key) =
            (finding.kind.name(), finding.file_id.map(|id| id.0), finding.key.as_deref());
        let outcome = match repairer.repair(finding).await {
            Err(error) if error.kind != ErrorKind::Unavailable => Outcome::Left(error.chain()),
            outcome => outcome?,
        };
        match outcome {
            Outcome::Repaired(how) => {
                log::info!(kind, file_id, key, how; "repaired");
                finding.repaired = true;
                finding.done = Some(how.to_owned());
                report.count(finding.kind).repaired += 1;
            }
            Outcome::Left(why) => {
                log::warn!(kind, file_id, key, why; "not repaired");
                finding.done = Some(why);
            }
        }
        watch(Stage::Repairs, done, total);
    }
    report.findings = findings;
    Ok(())
}

/// A bucket with more orphans than named objects is another installation's, or the database an old copy.
fn foreign(orphans: u64, named: u64) -> Option<&'static str> {
    const FEW: u64 = 10;
    (orphans > FEW && orphans > named).then_some(
        "most objects have no row: is this the database of this bucket? If so, remove them with a tool of S3",
    )
}

impl Repairer<'_> {
    async fn repair(&self, finding: &Finding) -> Result<Outcome> {
        let (id, key) = (finding.file_id.unwrap_or(FileId(0)), finding.key.as_deref().unwrap_or_default());
        match (finding.kind, &finding.subject) {
            (Kind::MissingObject, _) if finding.key.is_none() => {
                Ok(Outcome::Left("its row names no object of this bucket".to_owned()))
            }
            (Kind::MissingObject | Kind::AlteredObject, _) => match self.make_again(id, key).await? {
                Some(outcome) => Ok(outcome),
                None => self.request_again(id, key).await,
            },
            (Kind::OrphanObject, _) => match self.refusal {
                None => self.remove(id, key).await,
                Some(why) => Ok(Outcome::Left(why.to_owned())),
            },
            (Kind::AbandonedUpload, Subject::Upload(upload)) => self.abort(id, upload).await,
            (Kind::WaitingRemoval, Subject::Row(row)) => {
                if key.starts_with(object_keys::UPLOADS_PREFIX) {
                    store(|| self.reads.storage.abort_uploads(key)).await?;
                }
                let outcome = self.remove(id, key).await?;
                if matches!(outcome, Outcome::Repaired(_)) {
                    self.reads.db.object_removals().remove(*row).await?;
                }
                Ok(outcome)
            }
            (Kind::OverdueFile, _) => {
                let claim = self.reads.claim(id).await?;
                Ok(match claim.filter(|claim| claim.status.is_unfinished()) {
                    None => Outcome::Repaired("failed"),
                    Some(_) => Outcome::Left("it was asked for again meanwhile".to_owned()),
                })
            }
            (Kind::ParkedRecord, Subject::Row(row)) => {
                Ok(if self.reads.db.outbox().remove_parked(*row).await? {
                    Outcome::Repaired("forgotten")
                } else {
                    Outcome::Left("its file is unfinished: it fails at its deadline".to_owned())
                })
            }
            (Kind::WaitingRecord, _) => Ok(Outcome::Left("serve publishes it".to_owned())),
            (Kind::UnknownObject | Kind::AbandonedUpload | Kind::WaitingRemoval | Kind::ParkedRecord, _) => {
                Ok(Outcome::Left("nobody knows whose it is".to_owned()))
            }
        }
    }

    /// The content depends on the request alone: it is stored again where it has the digest that the row has. `None`: it has
    /// another, or the row has none.
    async fn make_again(&self, id: FileId, key: &str) -> Result<Option<Outcome>> {
        let storage = self.reads.storage.clone();
        let bucket = self.bucket.clone();
        let key = key.to_owned();
        self.reads
            .db
            .files()
            .with_lock(id, |file| async move {
                let Some(file) = file.filter(|file| names(&bucket, file, &key)) else {
                    return Ok(Some(Outcome::Left("its row has moved on".to_owned())));
                };
                if file.is_upload() {
                    return Ok(Some(Outcome::Left(NOT_REMADE.to_owned())));
                }
                let Some(sha256) = file.sha256.clone() else { return Ok(None) };
                let request = CreateFile::of(&file);
                let bytes = generators::generate(&request)?;
                if Stored::of(&bytes).sha256 != sha256 {
                    return Ok(None);
                }
                storage.put(&key, request.format.media_type(), &bytes).await?;
                Ok(Some(Outcome::Repaired("made again")))
            })
            .await?
    }

    /// Requests the file again, as the next attempt: another program may have made its object.
    async fn request_again(&self, id: FileId, key: &str) -> Result<Outcome> {
        let (bucket, deadline) = (self.bucket.clone(), self.deadline);
        let requested = transition::transition_each(self.reads.db, &self.events, vec![id], |file| {
            let details = Details { deadline: Some(deadline), ..Details::default() };
            names(&bucket, file, key).then_some((Transition::Remake, details))
        });
        Ok(if requested.await? > 0 {
            Outcome::Repaired("asked for again")
        } else {
            Outcome::Left("its row has moved on".to_owned())
        })
    }

    /// Aborts an upload in parts, unless its file needs it.
    async fn abort(&self, id: FileId, upload: &UnfinishedUpload) -> Result<Outcome> {
        let (storage, upload) = (self.reads.storage.clone(), upload.clone());
        self.reads
            .db
            .files()
            .with_lock(id, |file| async move {
                if file.is_some_and(|file| file.status == Status::Uploading) {
                    return Ok(Outcome::Left("its bytes are arriving".to_owned()));
                }
                storage.abort_upload(&upload).await?;
                Ok(Outcome::Repaired("aborted"))
            })
            .await?
    }

    /// Unless a row names it or may do so yet.
    async fn remove(&self, id: FileId, key: &str) -> Result<Outcome> {
        let (bucket, before, last) = (self.bucket.clone(), self.before, self.last);
        let storage = self.reads.storage.clone();
        let key = key.to_owned();
        self.reads
            .db
            .files()
            .with_lock(id, |file| async move {
                let claim = file.as_ref().map(ObjectReference::from);
                match classify(&bucket, &key, claim.as_ref(), id, last) {
                    Classification::Named => return Ok(Outcome::Repaired("a row names it again")),
                    Classification::InFlight => {
                        return Ok(Outcome::Left("its file is unfinished again".to_owned()));
                    }
                    Classification::Orphan { why, removable: false } => return Ok(Outcome::Left(why)),
                    Classification::Orphan { removable: true, .. } => {}
                }
                match storage.head(&key).await? {
                    Some(object) if object.modified >= before => {
                        return Ok(Outcome::Left("it was stored just now".to_owned()));
                    }
                    Some(_) | None => storage.remove(&key).await?,
                }
                Ok(Outcome::Repaired("removed"))
            })
            .await?
    }
}

fn names(bucket: &str, file: &File, key: &str) -> bool {
    file.status == Status::Completed && named_key(bucket, &ObjectReference::from(file)) == Some(key)
}
