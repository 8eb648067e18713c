//! From the objects to the rows: orphans, unknown keys, other sizes, other bytes; and abandoned uploads.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::classify::{Classification, Sample, Sampler, SeenIds, classify};
use super::reads::Reads;
use super::reads::store;
use super::recheck::Candidate;
use super::report::{Finding, Kind, Subject};
use super::{Checksums, MAX_CONCURRENT_REQUESTS, Stage, Verifier};
use crate::db::files::ObjectReference;
use crate::domain::{FileId, Result, Status};
use crate::storage::{ListedObject, ListingProgress, Stored, UnfinishedUpload, object_keys};

/// Pages of a thousand: a store that always has another one is not asked for ever.
const UPLOAD_PAGES_MAX: u32 = 10_000;

impl Verifier<'_> {
    /// Compares every object with a prefix of filesys. Returns the files whose object was seen.
    pub(super) async fn objects(&mut self) -> Result<SeenIds> {
        let mut seen = SeenIds::default();
        let mut sampler = Sampler::new(self.options.seed);
        let mut undigested = 0_u64;
        let mut progress = ListingProgress::default();
        let mut prefixes = object_keys::PREFIXES.into_iter();
        let mut position = prefixes.next().map(|prefix| (prefix, None));
        while let Some((prefix, from)) = position {
            let page = self.reads.page(prefix, from.as_deref()).await?;
            progress.note(&page)?;
            self.report.objects += page.objects.len() as u64;
            let objects = self.owned(page.objects);
            let claims = self.reads.claims(objects.iter().map(|(id, _)| *id).collect()).await?;
            let claims: BTreeMap<FileId, ObjectReference> =
                claims.into_iter().map(|claim| (claim.id, claim)).collect();
            let (mut candidates, mut contents) = (Vec::new(), Vec::new());
            for (id, object) in objects {
                let claim = claims.get(&id);
                match (classify(&self.bucket, &object.key, claim, id, self.last), claim) {
                    (Classification::Orphan { .. }, _) if object.modified < self.options.before => {
                        candidates.push(Candidate::Orphan(id, object.key));
                    }
                    (Classification::Named, Some(claim)) => {
                        seen.insert(id);
                        self.report.named += 1;
                        if claim.size.is_some_and(|size| size != object.size) {
                            candidates.push(Candidate::Size(id, object.key));
                        } else if let Some(sha256) = claim.sha256.clone() {
                            contents.push(Sample { id, key: object.key, sha256 });
                        } else {
                            undigested += 1;
                        }
                    }
                    (Classification::Orphan { .. } | Classification::InFlight | Classification::Named, _) => {
                    }
                }
            }
            self.look_again(candidates).await?;
            match self.options.checksums {
                Checksums::None => {}
                Checksums::Sample => contents.into_iter().for_each(|one| sampler.offer(one)),
                Checksums::All => self.contents(contents, None).await?,
            }
            (self.watch)(Stage::Objects, self.report.objects, self.expected);
            position = match page.next {
                Some(next) => Some((prefix, Some(next))),
                None => prefixes.next().map(|prefix| (prefix, None)),
            };
        }
        let sample = sampler.take();
        let size = sample.len() as u64;
        self.contents(sample, Some(size)).await?;
        if undigested > 0 {
            let note = "completed files have no SHA-256 in their row, for their worker gave none: \
                        their bytes are not compared";
            self.report.notes.push(format!("{undigested} {note}"));
        }
        Ok(seen)
    }

    /// Returns the objects whose key can be a file's, and reports the others.
    fn owned(&mut self, objects: Vec<ListedObject>) -> Vec<(FileId, ListedObject)> {
        let mut owned = Vec::with_capacity(objects.len());
        for object in objects {
            if let Some(id) = object_keys::owner(&self.bucket, &object.key) {
                owned.push((id, object));
            } else if object.modified < self.options.before {
                let finding =
                    Finding::new(Kind::UnknownObject, None, "its key is not one that filesys makes");
                self.report.add(Finding { key: Some(object.key), ..finding });
            }
        }
        owned
    }

    /// Reads the bytes. `total` is for progress display, where this is a stage of its own.
    async fn contents(&mut self, files: Vec<Sample>, total: Option<u64>) -> Result<()> {
        let reads = self.reads;
        let mut digests =
            stream::iter(files).map(|file| digest(reads, file)).buffer_unordered(MAX_CONCURRENT_REQUESTS);
        let mut gone = Vec::new();
        while let Some((file, stored)) = digests.try_next().await? {
            self.report.read += 1;
            if let Some(total) = total {
                (self.watch)(Stage::Contents, self.report.read, total);
            }
            match stored {
                Some(stored) if stored.sha256 == file.sha256 => {}
                Some(stored) => {
                    let what = format!("SHA-256 {} instead of {}", stored.sha256, file.sha256);
                    self.report.add(Finding::of_object(Kind::AlteredObject, file.id, &file.key, what));
                }
                None => gone.push(Candidate::Missing(file.id)),
            }
        }
        self.look_again(gone).await
    }

    /// Reports uploads in parts that were begun long ago, of whichever process, and that no unfinished upload needs.
    pub(super) async fn uploads(&mut self) -> Result<()> {
        for prefix in object_keys::PREFIXES {
            if let Some(why) = self.uploads_below(prefix).await? {
                self.report.notes.push(why.to_owned());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reports those of keys that begin with `prefix`; returns why not all were looked at.
    async fn uploads_below(&mut self, prefix: &str) -> Result<Option<&'static str>> {
        let (mut from, mut pages) = (None, 0);
        loop {
            pages += 1;
            let page = store(|| self.reads.storage.list_uploads(prefix, from.as_ref())).await?;
            let Some(page) = page else {
                return Ok(Some(
                    "this store can't list uploads in parts: abandoned ones were not looked for",
                ));
            };
            for upload in page.uploads.into_iter().filter(|upload| upload.started < self.options.before) {
                let id = object_keys::owner(&self.bucket, &upload.key);
                if !self.is_abandoned(id, &upload).await? {
                    continue;
                }
                let what = format!("begun at {} and not completed", upload.started);
                let finding = Finding::new(Kind::AbandonedUpload, id, what);
                let finding = Finding { key: Some(upload.key.clone()), ..finding };
                self.report.add(finding.about(Subject::Upload(upload)));
            }
            match page.next {
                Some(next) if pages < UPLOAD_PAGES_MAX => from = Some(next),
                Some(_) => {
                    return Ok(Some("there are more unfinished uploads than are looked at in one run"));
                }
                None => return Ok(None),
            }
        }
    }
}

impl Verifier<'_> {
    /// Row, removals, store, in this order: an upload is completed or aborted before its row says so, or a removal stands for it.
    async fn is_abandoned(&self, id: Option<FileId>, upload: &UnfinishedUpload) -> Result<bool> {
        if let Some(id) = id {
            let claim = self.reads.claim(id).await?;
            if claim.is_some_and(|claim| claim.status == Status::Uploading)
                || self.reads.is_queued(id, &upload.key).await?
            {
                return Ok(false);
            }
        }
        let now = store(|| self.reads.storage.list_uploads(&upload.key, None)).await?;
        Ok(now.is_some_and(|page| page.uploads.iter().any(|one| one.id == upload.id)))
    }
}

async fn digest(reads: Reads<'_>, file: Sample) -> Result<(Sample, Option<Stored>)> {
    let stored = reads.digest(&file.key).await?;
    Ok((file, stored))
}
