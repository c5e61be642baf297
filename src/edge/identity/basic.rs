//! HTTP Basic (RFC 7617): names and passwords in UTF-8.
//!
//! ```text
//! name, password ─▶ same as what was right before? ─▶ yes
//!                   └─ no ─▶ place in the line ─▶ derivation, on a thread of its own ─▶ right: kept for the next time
//! ```
//! Who guesses passwords makes the node work, and is answered all the later the more they guess: few are checked at a
//! time, few more wait, and the others are told to come again. Those whose password was right before do not wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::credentials::{Credentials, Digest};
use super::password::PasswordHash;
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked::{BasicUser, Password};
use crate::config::limits::{PASSWORD_CHECKS_MAX, PASSWORD_CHECKS_WAITING_MAX};
use crate::edge::gate::throttle::Throttle;

/// Clients pad the text, or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How long a wrong guess at a password that is no hash holds its place: about what a derivation takes.
const WRONG_GUESS_DELAY: Duration = Duration::from_millis(200);

/// All users of `[[basic_user]]`.
#[derive(Debug)]
pub struct BasicUsers {
    users: HashMap<Box<str>, User, foldhash::fast::RandomState>,
    /// In the place of a user that there is not.
    nobody: Arc<PasswordHash>,
    /// Of this process: what is kept of right passwords is of no use to anybody else.
    key: hmac::Key,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct User {
    principal: Arc<Principal>,
    password: Known,
    /// The digest of the one that was right.
    verified: OnceLock<Digest>,
}

/// What is known of a password.
#[derive(Debug)]
enum Known {
    /// Its digest under the key of this process.
    Digest(Digest),
    /// A hash of it.
    Hash(Arc<PasswordHash>),
}

impl BasicUsers {
    /// As the configuration has them. What they have taken so far is known to `throttle`.
    pub fn new(users: &[BasicUser], throttle: &Throttle) -> Self {
        let mut bytes = [0; 32];
        // Without random numbers nothing else of the process works either: TLS, and the keys of its iterators.
        let is_random = SystemRandom::new().fill(&mut bytes).is_ok();
        let key = hmac::Key::new(HMAC_SHA256, &bytes);
        let user = |user: &BasicUser| {
            let allowed = (&user.policy, user.allowance);
            let principal = Principal::named(IdentityKind::Basic, &user.name, allowed, throttle);
            let password = match &user.password {
                Password::Plain(secret) => Known::Digest(digest(&key, secret.reveal().as_bytes())),
                Password::Hash(hash) => Known::Hash(Arc::new(hash.clone())),
            };
            User { principal, password, verified: OnceLock::new() }
        };
        let known = users.iter().filter(|_| is_random);
        Self {
            users: known.map(|it| (it.name.as_str().into(), user(it))).collect(),
            nobody: Arc::new(PasswordHash::of_nobody()),
            key,
            places: Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Who a request says that it is from, if the password is right.
    pub async fn identify(&self, credentials: &Credentials<'_>) -> Attempt {
        let Some(shown) = credentials.basic() else { return Attempt::Absent };
        let Some((name, password)) = read(shown.text()) else {
            return Attempt::Wrong("the Basic credentials are no Base64 of NAME:PASSWORD".into());
        };
        let user = self.users.get(name.as_str());
        let digest = digest(&self.key, &password);
        if let Some(user) = user
            && user.is_verified(&digest)
        {
            return Attempt::Is(Arc::clone(&user.principal));
        }
        // Most requests do not come so far: what it takes stays out of theirs.
        Box::pin(self.check_new((&name, user), password, digest)).await
    }

    /// Checks a password that was not right before.
    async fn check_new(
        &self,
        (name, user): (&str, Option<&User>),
        password: Vec<u8>,
        digest: Digest,
    ) -> Attempt {
        let Some(place) = self.place().await else {
            return Attempt::Unavailable("too many passwords are being checked");
        };
        let Some(user) = user else {
            self.refuse_unknown(name, password, place).await;
            return Attempt::Wrong(WRONG.into());
        };
        // Another request may have waited for the same.
        if user.is_verified(&digest) || user.is_right(password, &digest, place).await {
            user.verified.get_or_init(|| digest);
            return Attempt::Is(Arc::clone(&user.principal));
        }
        Attempt::Wrong(WRONG.into())
    }

    /// Takes as long as a wrong guess at one of the users, always the same for a name, so that nobody learns which names
    /// there are: their passwords may be of different cost.
    async fn refuse_unknown(&self, name: &str, password: Vec<u8>, place: OwnedSemaphorePermit) {
        let mark = digest(&self.key, name.as_bytes());
        let number =
            mark.iter().take(size_of::<u32>()).fold(0, |number, byte| number << 8 | usize::from(*byte));
        let stand_in = number.checked_rem(self.users.len()).and_then(|place| self.users.values().nth(place));
        let hash = match stand_in.map(|user| &user.password) {
            Some(Known::Digest(_)) => return wait_as_if_wrong(place).await,
            Some(Known::Hash(hash)) => hash,
            None => &self.nobody,
        };
        check(Arc::clone(hash), password, place).await;
    }

    /// A place among those whose password is checked; none where too many wait for one.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        /// One who waits, until they do not any more.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= PASSWORD_CHECKS_WAITING_MAX {
            return None;
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

const WRONG: &str = "name or password are wrong";

impl User {
    fn is_verified(&self, digest: &Digest) -> bool {
        self.verified.get().is_some_and(|right| bool::from(right.ct_eq(digest)))
    }

    async fn is_right(&self, password: Vec<u8>, digest: &Digest, place: OwnedSemaphorePermit) -> bool {
        match &self.password {
            Known::Digest(right) => {
                let is_right = bool::from(right.ct_eq(digest));
                if !is_right {
                    wait_as_if_wrong(place).await;
                }
                is_right
            }
            Known::Hash(hash) => check(Arc::clone(hash), password, place).await,
        }
    }
}

/// What a wrong guess at a password that is no hash takes.
async fn wait_as_if_wrong(place: OwnedSemaphorePermit) {
    tokio::time::sleep(WRONG_GUESS_DELAY).await;
    drop(place);
}

/// Checks a password where it keeps no connection waiting. A client that goes away does not make the place free.
async fn check(hash: Arc<PasswordHash>, password: Vec<u8>, place: OwnedSemaphorePermit) -> bool {
    let checking = tokio::task::spawn_blocking(move || {
        let is_right = hash.is_of(&password);
        drop(place);
        is_right
    });
    checking.await.unwrap_or(false)
}

fn digest(key: &hmac::Key, password: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(hmac::sign(key, password).as_ref());
    digest
}

/// The name, which has no colon, and the password.
fn read(text: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut name = BASE64.decode(text).ok()?;
    let colon = name.iter().position(|&byte| byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((String::from_utf8(name).ok()?, password))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use http::Request;

    use super::*;
    use crate::config::Secret;
    use crate::config::checked::{Allowance, Limits};
    use crate::edge::identity::policy::Policy;
    use crate::telemetry::metrics::Registry;

    fn users() -> BasicUsers {
        let user = |name: &str, password| {
            let (policy, allowance) = (Policy::default(), Allowance::default());
            BasicUser { name: name.into(), password, policy, allowance }
        };
        let throttle = Throttle::new(&Limits::default(), &Registry::new().unwrap());
        let few = NonZeroU32::new(100_000).unwrap();
        let users = [
            user("plain", Password::Plain(Secret::new("pass:wörd"))),
            user("hashed", Password::Hash(PasswordHash::make(b"hunter2", few).unwrap())),
        ];
        BasicUsers::new(&users, &throttle)
    }

    async fn attempt(users: &BasicUsers, authorization: &str) -> Attempt {
        let request = Request::get("/").header("authorization", authorization).body(()).unwrap();
        users.identify(&Credentials::of(&request.into_parts().0, false)).await
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[tokio::test]
    async fn a_name_and_its_password_are_somebody_and_nothing_else_is() {
        let users = users();
        for (text, name) in
            [("plain:pass:wörd", "plain"), ("hashed:hunter2", "hashed"), ("hashed:hunter2", "hashed")]
        {
            match attempt(&users, &basic(text)).await {
                Attempt::Is(principal) => assert_eq!(&*principal.name, name),
                other => panic!("{text}: {other:?}"),
            }
        }
        // Once one was right, another is still wrong.
        for text in [
            "plain:pass",
            "plain:",
            "hashed:hunter3",
            "hashed:pass:wörd",
            "nobody:hunter2",
            ":",
            "Plain:pass:wörd",
        ] {
            let attempt = attempt(&users, &basic(text)).await;
            assert!(matches!(&attempt, Attempt::Wrong(why) if why == WRONG), "{text}: {attempt:?}");
        }
        assert_eq!(users.places.available_permits(), PASSWORD_CHECKS_MAX);
    }

    #[tokio::test]
    async fn what_is_no_name_and_password_is_wrong_and_padding_does_not_matter() {
        let users = users();
        for text in ["Basic ", "Basic ???", "Basic cGxhaW4", "basic /zpwYXNz"] {
            assert!(matches!(attempt(&users, text).await, Attempt::Wrong(_)), "{text}");
        }
        assert!(matches!(attempt(&users, "Bearer cGxhaW4").await, Attempt::Absent));
        let unpadded = basic("plain:pass:wörd").trim_end_matches('=').to_owned();
        assert!(matches!(attempt(&users, &unpadded).await, Attempt::Is(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_there_is_not_takes_as_long_as_one_that_there_is() {
        let user = |name: &str| BasicUser {
            name: name.into(),
            password: Password::Plain(Secret::new("a password of nobody")),
            policy: Policy::default(),
            allowance: Allowance::default(),
        };
        let throttle = Throttle::new(&Limits::default(), &Registry::new().unwrap());
        let users = BasicUsers::new(&[user("anna"), user("otto")], &throttle);
        for text in ["anna:wrong", "nobody:wrong", "somebody:a password of nobody"] {
            let began = tokio::time::Instant::now();
            assert!(matches!(attempt(&users, &basic(text)).await, Attempt::Wrong(_)), "{text}");
            assert_eq!(began.elapsed().as_millis(), WRONG_GUESS_DELAY.as_millis(), "{text}");
        }
    }

    #[tokio::test]
    async fn guesses_beyond_the_line_are_told_to_come_again_and_those_who_were_right_are_let_in() {
        let users = users();
        assert!(matches!(attempt(&users, &basic("hashed:hunter2")).await, Attempt::Is(_)));
        let held = users.places.clone().acquire_many_owned(PASSWORD_CHECKS_MAX as u32).await.unwrap();
        users.waiting.store(PASSWORD_CHECKS_WAITING_MAX, Ordering::Relaxed);
        for text in ["hashed:hunter3", "nobody:x", "plain:pass:wörd"] {
            assert!(matches!(attempt(&users, &basic(text)).await, Attempt::Unavailable(_)), "{text}");
        }
        // However many names there are, nothing is remembered of them.
        for number in 0..100_000 {
            let attempt = attempt(&users, &basic(&format!("name-{number}:x"))).await;
            assert!(matches!(attempt, Attempt::Unavailable(_)));
        }
        assert_eq!(
            (users.users.len(), users.waiting.load(Ordering::Relaxed)),
            (2, PASSWORD_CHECKS_WAITING_MAX)
        );
        assert!(matches!(attempt(&users, &basic("hashed:hunter2")).await, Attempt::Is(_)));
        users.waiting.store(0, Ordering::Relaxed);
        drop(held);
        assert!(matches!(attempt(&users, &basic("plain:pass:wörd")).await, Attempt::Is(_)));
        assert_eq!(users.waiting.load(Ordering::Relaxed), 0);
    }
}
