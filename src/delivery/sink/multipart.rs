//! An object in parts: all of it, or none of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::task::JoinSet;

use crate::config::limits::MULTIPART_PARTS_UNDER_WAY;
use crate::crash_point;

/// An upload whose id is known, so that another process can take it back.
#[derive(Debug)]
pub struct Numbered {
    store: Arc<dyn NumberedStore>,
    path: Path,
    id: String,
    begun: usize,
    /// Parts that have arrived, by their place.
    done: Arc<Mutex<Vec<(usize, PartId)>>>,
}

/// A store that tells the ids of its uploads.
pub trait NumberedStore: MultipartStore + std::fmt::Debug {}

impl<S: MultipartStore + std::fmt::Debug> NumberedStore for S {}

impl Numbered {
    /// Upload `id` of the object at `path`, of which no part was sent yet.
    pub fn new(store: Arc<dyn NumberedStore>, path: Path, id: String) -> Self {
        Self { store, path, id, begun: 0, done: Arc::default() }
    }

    /// The parts in their order. All that were begun must have arrived.
    fn parts(&self) -> Result<Vec<PartId>> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() != self.begun {
            let source = format!("{} of {} parts have arrived", done.len(), self.begun).into();
            return Err(Error::Generic { store: "multipart", source });
        }
        done.sort_unstable_by_key(|(place, _)| *place);
        Ok(done.iter().map(|(_, part)| part.clone()).collect())
    }
}

/// What the methods of [`MultipartUpload`] return.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl MultipartUpload for Numbered {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let place = self.begun;
        self.begun += 1;
        let (store, done) = (Arc::clone(&self.store), Arc::clone(&self.done));
        let (path, id) = (self.path.clone(), self.id.clone());
        Box::pin(async move {
            crash_point!("upload.part");
            let part = store.put_part(&path, &id, place, data).await?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, part));
            Ok(())
        })
    }

    fn complete<'life0, 'async_trait>(&'life0 mut self) -> Answer<'async_trait, PutResult>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let parts = self.parts()?;
            self.store.complete_multipart(&self.path, &self.id, parts).await
        })
    }

    fn abort<'life0, 'async_trait>(&'life0 mut self) -> Answer<'async_trait, ()>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move { forget(self.store.as_ref(), &self.path, &self.id).await })
    }
}

/// Takes an upload back. One that is not there any more, because it was completed or taken back before, is no error.
pub async fn forget(store: &dyn NumberedStore, path: &Path, id: &str) -> Result<()> {
    match store.abort_multipart(path, &id.to_owned()).await {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// Sends `parts` and completes the upload. If anything fails the upload is taken back, and the first error is
/// returned.
pub async fn send(mut upload: Box<dyn MultipartUpload>, parts: Vec<PutPayload>) -> Result<PutResult> {
    let mut under_way = JoinSet::new();
    let result = match send_parts(upload.as_mut(), parts, &mut under_way).await {
        Ok(()) => upload.complete().await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        // A part that arrives after the upload is taken back would stay in the store.
        under_way.shutdown().await;
        if let Err(error) = upload.abort().await {
            tracing::warn!(
                %error,
                "parts of a failed upload stay in the store; have its lifecycle rules remove incomplete uploads"
            );
        }
    }
    result
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    parts: Vec<PutPayload>,
    under_way: &mut JoinSet<Result<()>>,
) -> Result<()> {
    for part in parts {
        if under_way.len() >= MULTIPART_PARTS_UNDER_WAY
            && let Some(ended) = under_way.join_next().await
        {
            ended??;
        }
        under_way.spawn(upload.put_part(part));
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}

/// Cuts `chunks` into parts of `part_bytes`, of which only the last may be smaller. Copies nothing. `part_bytes` must
/// not be 0.
pub fn cut(chunks: &[Bytes], part_bytes: usize) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let mut part: Vec<Bytes> = Vec::new();
    let mut room = part_bytes;
    for chunk in chunks {
        let mut rest = chunk.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(room.min(rest.len()));
            room -= piece.len();
            part.push(piece);
            if room == 0 {
                parts.push(std::mem::take(&mut part).into_iter().collect());
                room = part_bytes;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records what it is asked, and fails where it is told to.
    #[derive(Debug, Clone, Default)]
    struct FakeUpload {
        calls: Arc<Mutex<Vec<String>>>,
        failing: &'static [&'static str],
    }

    impl FakeUpload {
        fn failing(failing: &'static [&'static str]) -> Self {
            Self { failing, ..Self::default() }
        }

        fn call(&self, name: String) -> Result<()> {
            let fails = self.failing.contains(&name.as_str());
            self.calls.lock().unwrap().push(name.clone());
            if fails { Err(Error::Generic { store: "fake", source: name.into() }) } else { Ok(()) }
        }

        fn calls(&self) -> Vec<String> {
            self.calls.lock().unwrap().clone()
        }
    }

    impl MultipartUpload for FakeUpload {
        fn put_part(&mut self, data: PutPayload) -> UploadPart {
            let result = self.call(String::from_utf8(data.iter().flatten().copied().collect()).unwrap());
            Box::pin(async move { result })
        }

        fn complete<'life0, 'async_trait>(&'life0 mut self) -> Answer<'async_trait, PutResult>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            let result = self.call("complete".into());
            let stored = PutResult { e_tag: None, version: None, extensions: Default::default() };
            Box::pin(async move { result.map(|()| stored) })
        }

        fn abort<'life0, 'async_trait>(&'life0 mut self) -> Answer<'async_trait, ()>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            let result = self.call("abort".into());
            Box::pin(async move { result })
        }
    }

    async fn send_digits(upload: &FakeUpload) -> Result<PutResult> {
        send(Box::new(upload.clone()), cut(&[Bytes::from_static(b"0123456789")], 1)).await
    }

    #[tokio::test]
    async fn all_parts_go_out_in_order_before_the_upload_is_completed() {
        let upload = FakeUpload::default();
        send_digits(&upload).await.unwrap();
        assert_eq!(upload.calls().concat(), "0123456789complete");
    }

    #[tokio::test]
    async fn a_part_that_fails_while_others_wait_takes_the_upload_back() {
        let upload = FakeUpload::failing(&["0"]);
        assert!(send_digits(&upload).await.unwrap_err().to_string().ends_with(": 0"));
        assert_eq!(upload.calls().last().unwrap(), "abort");
        assert!(upload.calls().len() < 10, "later parts are not sent: {:?}", upload.calls());
    }

    #[tokio::test]
    async fn a_last_part_that_fails_takes_the_upload_back() {
        let upload = FakeUpload::failing(&["9"]);
        assert!(send_digits(&upload).await.unwrap_err().to_string().ends_with(": 9"));
        assert_eq!(upload.calls().concat(), "0123456789abort");
    }

    #[tokio::test]
    async fn an_upload_that_cannot_be_completed_is_taken_back() {
        let upload = FakeUpload::failing(&["complete"]);
        assert!(send_digits(&upload).await.unwrap_err().to_string().ends_with(": complete"));
        assert_eq!(upload.calls().concat(), "0123456789completeabort");
    }

    #[tokio::test]
    async fn the_first_error_is_returned_when_taking_back_fails_too() {
        let upload = FakeUpload::failing(&["3", "abort"]);
        assert!(send_digits(&upload).await.unwrap_err().to_string().ends_with(": 3"));
        assert_eq!(upload.calls().last().unwrap(), "abort");
    }

    proptest! {
        #[test]
        fn parts_hold_every_byte_in_order_and_all_but_the_last_are_full(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
            part_bytes in 1usize..16,
        ) {
            let chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
            let parts = cut(&chunks, part_bytes);
            let bytes: Vec<u8> = parts.iter().flatten().flatten().copied().collect();
            prop_assert_eq!(bytes, chunks.concat());
            let (last, full) = parts.split_last().map_or((None, &[][..]), |(last, full)| (Some(last), full));
            prop_assert!(full.iter().all(|part| part.content_length() == part_bytes));
            prop_assert!(last.is_none_or(|part| (1..=part_bytes).contains(&part.content_length())));
        }
    }
}
