//! Second look at candidates, so that nothing that changes at the same time becomes a finding.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::classify::{Classification, classify, named_key};
use super::report::{Finding, Kind};
use super::{MAX_CONCURRENT_REQUESTS, Verifier};
use crate::db::files::ObjectReference;
use crate::domain::{FileId, Result, Status};

#[derive(Debug)]
pub(super) enum Candidate {
    /// An object of this file that its row doesn't name.
    Orphan(FileId, String),
    /// An object that was listed with another size than its row has.
    Size(FileId, String),
    /// A completed file whose object was not seen.
    Missing(FileId),
}

impl Verifier<'_> {
    pub(super) async fn look_again(&mut self, candidates: Vec<Candidate>) -> Result<()> {
        let found: Vec<Option<Finding>> = stream::iter(candidates)
            .map(|candidate| self.look(candidate))
            .buffer_unordered(MAX_CONCURRENT_REQUESTS)
            .try_collect::<Vec<_>>()
            .await?;
        found.into_iter().flatten().for_each(|finding| self.report.add(finding));
        Ok(())
    }

    async fn look(&self, candidate: Candidate) -> Result<Option<Finding>> {
        match candidate {
            Candidate::Orphan(id, key) => self.orphan(id, &key).await,
            Candidate::Size(id, key) => {
                let claim = self.reads.claim(id).await?.filter(|claim| self.names(claim, &key));
                match claim {
                    Some(claim) => self.size(&claim, &key).await,
                    None => Ok(None),
                }
            }
            Candidate::Missing(id) => self.missing(id).await,
        }
    }

    /// Row, removals, object, in this order: a removal that the row stands for is in the table, or was carried out.
    async fn orphan(&self, id: FileId, key: &str) -> Result<Option<Finding>> {
        let claim = self.reads.claim(id).await?;
        let Classification::Orphan { why, .. } = classify(&self.bucket, key, claim.as_ref(), id, self.last)
        else {
            return Ok(None);
        };
        if self.reads.is_queued(id, key).await? {
            return Ok(None);
        }
        // Not one that was stored again meanwhile.
        let object = self.reads.head(key).await?.filter(|object| object.modified < self.options.before);
        Ok(object.map(|_| Finding::of_object(Kind::OrphanObject, id, key, why)))
    }

    /// Row, then object: a row that names an object got its size after the object was stored.
    async fn size(&self, claim: &ObjectReference, key: &str) -> Result<Option<Finding>> {
        let object = self.reads.head(key).await?;
        let (Some(object), Some(size)) = (object, claim.size) else { return Ok(None) };
        let what = format!("{} bytes instead of {size}", object.size);
        let finding = || Finding::of_object(Kind::AlteredObject, claim.id, key, what);
        Ok((object.size != size).then(finding))
    }

    /// Row, object, row: a file's object goes only after its row has said so.
    async fn missing(&self, id: FileId) -> Result<Option<Finding>> {
        let claim = self.reads.claim(id).await?.filter(|claim| claim.status == Status::Completed);
        let Some(claim) = claim else { return Ok(None) };
        let Some(key) = named_key(&self.bucket, &claim) else {
            let location = claim.s3_location.unwrap_or_default();
            let what = format!("{location} is no object of this file in bucket {}", self.bucket);
            return Ok(Some(Finding::new(Kind::MissingObject, Some(id), what)));
        };
        if self.reads.head(key).await?.is_some() {
            // Stored after the objects were listed.
            return self.size(&claim, key).await;
        }
        let now = self.reads.claim(id).await?;
        let is_missing = now.is_some_and(|now| self.names(&now, key));
        Ok(is_missing.then(|| Finding::of_object(Kind::MissingObject, id, key, "the object is not there")))
    }

    /// Tells whether the file is completed and this its object.
    fn names(&self, claim: &ObjectReference, key: &str) -> bool {
        claim.status == Status::Completed && named_key(&self.bucket, claim) == Some(key)
    }
}
