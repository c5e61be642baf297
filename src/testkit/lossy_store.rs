//! A node's way to a store that others use as well: slow, and with answers that are lost.
//!
//! Each node has a [`LossyStore`] of its own over the same store. What comes of a call is drawn from a seed, so that with a
//! paused clock a run is the same each time.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How bad it is. Chances are in a thousand calls.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// A call fails before anything is done.
    pub fails: u32,
    /// A write is done, and its answer is lost.
    pub loses_answer: u32,
    /// A write fails, and is done some time later.
    pub is_late: u32,
    /// Milliseconds that a call takes on its way there, and on its way back.
    pub millis: Range<u64>,
    /// Milliseconds more that a write takes on its way there.
    pub write_millis: u64,
}

/// See the module. All clones are the same way.
#[derive(Debug, Clone)]
pub struct LossyStore {
    store: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    random: fastrand::Rng,
    is_cut: bool,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What comes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Fails,
    LosesAnswer,
    Late(u64),
}

impl LossyStore {
    /// A way to `store`, in fine weather.
    pub fn to(store: Arc<dyn ObjectStore>, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let state = State { weather: Weather::default(), random, is_cut: false };
        Self { store, state: Arc::new(Mutex::new(state)) }
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Ends the way, as for a node that is killed: what comes later fails. What is under way may arrive.
    pub fn cut(&self) {
        self.state().is_cut = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn travel(&self) {
        let millis = {
            let mut state = self.state();
            let range = state.weather.millis.clone();
            if range.is_empty() { 0 } else { state.random.u64(range) }
        };
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }

    fn fate(&self) -> Fate {
        let mut state = self.state();
        let (Weather { fails, loses_answer, is_late, .. }, drawn) =
            (state.weather.clone(), state.random.u32(..1_000));
        if state.is_cut || drawn < fails {
            Fate::Fails
        } else if drawn < fails + loses_answer {
            Fate::LosesAnswer
        } else if drawn < fails + loses_answer + is_late {
            Fate::Late(state.random.u64(1..20_000))
        } else {
            Fate::Done
        }
    }

    fn checked(&self) -> Result<()> {
        match self.fate() {
            Fate::Fails => Err(lost()),
            _ => Ok(()),
        }
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.travel().await;
        let write_millis = self.state().weather.write_millis;
        tokio::time::sleep(Duration::from_millis(write_millis)).await;
        let fate = self.fate();
        if let Fate::Late(millis) = fate {
            let (store, location) = (Arc::clone(&self.store), location.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                // Nobody waits for it.
                let _ = store.put_opts(&location, payload, options).await;
            });
            return Err(lost());
        }
        if fate == Fate::Fails {
            return Err(lost());
        }
        let result = self.store.put_opts(location, payload, options).await;
        self.travel().await;
        if fate == Fate::LosesAnswer || self.state().is_cut { Err(lost()) } else { result }
    }
}

fn lost() -> Error {
    Error::Generic { store: "lossy", source: "the connection broke off".into() }
}

impl fmt::Display for LossyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LossyStore({})", self.store)
    }
}

impl ObjectStore for LossyStore {
    fn put_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Answer<'async_trait, PutResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.put(location, payload, options))
    }

    fn put_multipart_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        options: PutMultipartOptions,
    ) -> Answer<'async_trait, Box<dyn MultipartUpload>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.checked()?;
            self.store.put_multipart_opts(location, options).await
        })
    }

    fn get_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        options: GetOptions,
    ) -> Answer<'async_trait, GetResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.travel().await;
            self.checked()?;
            self.store.get_opts(location, options).await
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.checked() {
            Ok(()) => self.store.delete_stream(locations),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (way, prefix) = (self.clone(), prefix.cloned());
        let listing = async move {
            way.travel().await;
            match way.checked() {
                Ok(()) => way.store.list(prefix.as_ref()),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        stream::once(listing).flatten().boxed()
    }

    fn list_with_delimiter<'life0, 'life1, 'async_trait>(
        &'life0 self,
        prefix: Option<&'life1 Path>,
    ) -> Answer<'async_trait, ListResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.checked()?;
            self.store.list_with_delimiter(prefix).await
        })
    }

    fn copy_opts<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        from: &'life1 Path,
        to: &'life2 Path,
        options: CopyOptions,
    ) -> Answer<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.checked()?;
            self.store.copy_opts(from, to, options).await
        })
    }
}
