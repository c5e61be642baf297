//! Fair sharing of the ingest budget, once it runs short.
//!
//! As long as more than a [reserve](RESERVE_DIVISOR) of an account of the budget is free, everybody takes from it as
//! they come. The reserve is for those who have had less than their fair part lately:
//!
//! ```text
//! part of a tenant  =  its bytes lately ÷ (bytes of all lately × its weight ÷ weights of all who came lately)
//! it may take from the reserve while   part ≤ free ÷ reserve
//! ```
//!
//! Whoever has had the fair part or more is refused when the reserve begins, whoever has had next to nothing only when
//! it ends. What deliveries and disks free goes to those with smaller parts first, then, and beyond what they want to
//! the others: so a tenant that sends ten times what the machine takes does not keep out one that sends a little.
//!
//! A tenant is a principal or, where nobody is asked who they are, a client address. Bytes are counted when they are
//! admitted, and half of the count is forgotten every [`TICK`], of all tenants at once. Nothing is counted while half
//! of the account is free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use super::addresses::ClientKey;
use crate::config::limits::FAIR_ADDRESSES_MAX;
use crate::runtime::budget::Permit;
use crate::runtime::clock;

/// The part of an account that is kept for those who have had less than others: with 128 MiB it is 8 MiB, thousands of
/// events.
pub const RESERVE_DIVISOR: u64 = 16;

/// How long it takes to forget half of what a tenant has had: longer than any one request, and short enough that
/// whoever has been busy a minute ago counts as anybody else.
const TICK: Duration = Duration::from_secs(4);

/// How long a sum over all tenants is good for. With 10,000 of them it takes about 0.2 ms.
const SUM_AGE_MAX: Duration = Duration::from_millis(50);

/// How long nobody tries again to free memory where there was nothing to free.
const VAIN_PAUSE: Duration = Duration::from_millis(10);

/// Addresses that are looked at to find room for a new one.
const LOOKS: usize = 8;

/// One who competes with others.
#[derive(Debug)]
pub struct Tenant {
    weight: u32,
    had: Mutex<Had>,
}

/// What a tenant has had lately.
#[derive(Debug, Clone, Copy, Default)]
struct Had {
    bytes: u64,
    /// When half of it was forgotten last, in ticks.
    forgot: u64,
    /// When it came last, in ticks.
    came: Option<u64>,
}

impl Had {
    fn at(&mut self, tick: u64) -> u64 {
        let halvings = u32::try_from(tick.saturating_sub(self.forgot)).unwrap_or(u32::MAX);
        self.bytes = self.bytes.checked_shr(halvings).unwrap_or(0);
        self.forgot = self.forgot.max(tick);
        self.bytes
    }
}

impl Tenant {
    fn new(weight: u32) -> Self {
        Self { weight, had: Mutex::default() }
    }

    fn had(&self) -> MutexGuard<'_, Had> {
        self.had.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has had, and its weight if it has come lately.
    fn counts(&self, tick: u64) -> (u64, u32) {
        let mut had = self.had();
        let bytes = had.at(tick);
        let is_there = had.came.is_some_and(|came| tick.saturating_sub(came) <= 1);
        (bytes, if is_there || bytes > 0 { self.weight } else { 0 })
    }
}

/// Who asks for memory.
#[derive(Debug, Clone, Default)]
pub enum Competitor {
    /// A principal.
    Principal(Arc<Tenant>),
    /// Somebody at an address, or of whom only the name is known, and their weight.
    Client(ClientKey, u32),
    /// Nobody whom others could be told from: it is as if there was no reserve.
    #[default]
    Nobody,
}

/// Sums over all tenants.
#[derive(Debug, Clone, Copy)]
struct Sum {
    bytes: u64,
    weight: u64,
    at: Instant,
}

/// Tenants by address.
#[derive(Debug, Default)]
struct ByAddress {
    places: HashMap<ClientKey, usize>,
    tenants: Vec<(ClientKey, Arc<Tenant>)>,
    hand: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Fair {
    begun: Instant,
    principals: RwLock<Vec<Weak<Tenant>>>,
    addresses: Mutex<ByAddress>,
    sum: Mutex<Option<Sum>>,
    /// When there was nothing to free.
    vain: Mutex<Option<Instant>>,
}

/// Why memory is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// There is none.
    Full,
    /// What there is, is for others.
    OverFairPart,
}

impl Default for Fair {
    fn default() -> Self {
        Self::new(clock::monotonic())
    }
}

impl Fair {
    /// Nobody has had anything.
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            principals: RwLock::default(),
            addresses: Mutex::default(),
            sum: Mutex::default(),
            vain: Mutex::default(),
        }
    }

    /// A principal, which counts for as long as somebody holds it.
    pub fn principal(&self, weight: u32) -> Arc<Tenant> {
        let tenant = Arc::new(Tenant::new(weight));
        let mut principals = self.principals.write().unwrap_or_else(PoisonError::into_inner);
        if principals.len() == principals.capacity() {
            // Before it grows, and not for each of thousands.
            principals.retain(|known| known.strong_count() > 0);
        }
        principals.push(Arc::downgrade(&tenant));
        tenant
    }

    /// Adds `bytes` to a permit that `who` has. `free_memory` is called where that may help, with how much is wanted
    /// and with what tells whether that is there now; it may block the thread for a moment.
    ///
    /// # Errors
    /// If they are not there, or not for `who`.
    pub fn admit(
        &self,
        who: &Competitor,
        permit: &mut Permit,
        bytes: u64,
        free_memory: impl FnOnce(u64, &dyn Fn() -> bool),
    ) -> Result<(), Short> {
        self.admit_at(who, permit, bytes, (clock::monotonic, free_memory))
    }

    fn admit_at(
        &self,
        who: &Competitor,
        permit: &mut Permit,
        bytes: u64,
        (now, free_memory): (impl FnOnce() -> Instant, impl FnOnce(u64, &dyn Fn() -> bool)),
    ) -> Result<(), Short> {
        let budget = permit.budget();
        if budget.left() >= (budget.capacity() / 2).saturating_add(bytes) && permit.try_grow(bytes) {
            return Ok(());
        }
        let budget = Arc::clone(permit.budget());
        let Some(tenant) = self.tenant(who) else {
            let is_there = || budget.left() >= bytes;
            if !is_there() {
                free_memory(bytes, &is_there);
            }
            return if permit.try_grow(bytes) { Ok(()) } else { Err(Short::Full) };
        };
        let now = now();
        let tick = self.tick(now);
        tenant.had().came = Some(tick);
        let reserve = budget.capacity() / RESERVE_DIVISOR;
        let is_plenty = || budget.left() >= reserve.saturating_add(bytes);
        if !is_plenty() && (budget.left() < bytes || !self.was_in_vain(now)) {
            free_memory(bytes, &is_plenty);
            if !is_plenty() {
                *lock(&self.vain) = Some(now);
            }
        }
        let left = budget.left();
        if !is_plenty() && left >= bytes {
            self.may_take_from_reserve(&tenant, (left - bytes, reserve), now)?;
        }
        if !permit.try_grow(bytes) {
            return Err(Short::Full);
        }
        let mut had = tenant.had();
        had.bytes = had.at(tick).saturating_add(bytes);
        Ok(())
    }

    /// Whether a tenant has had so little that it may leave `free` bytes of the reserve.
    fn may_take_from_reserve(
        &self,
        tenant: &Tenant,
        (free, reserve): (u64, u64),
        now: Instant,
    ) -> Result<(), Short> {
        let sum = self.sum(now);
        let had = tenant.had().at(self.tick(now));
        if sum.bytes <= had && sum.weight <= u64::from(tenant.weight) {
            // There is nobody to be fair to; but somebody may come.
            return Err(Short::Full);
        }
        // had ÷ (all × weight ÷ weights) ≤ free ÷ reserve. Below 2^128: bytes below 2^50, weights of 10^7 together.
        let part = u128::from(had) * u128::from(sum.weight) * u128::from(reserve);
        let most = u128::from(sum.bytes) * u128::from(tenant.weight) * u128::from(free);
        if part <= most { Ok(()) } else { Err(Short::OverFairPart) }
    }

    fn tick(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs() / TICK.as_secs()
    }

    fn was_in_vain(&self, now: Instant) -> bool {
        lock(&self.vain).is_some_and(|at| now.saturating_duration_since(at) < VAIN_PAUSE)
    }

    fn sum(&self, now: Instant) -> Sum {
        let mut known = lock(&self.sum);
        if let Some(sum) = known.filter(|sum| now.saturating_duration_since(sum.at) < SUM_AGE_MAX) {
            return sum;
        }
        let tick = self.tick(now);
        let mut sum = Sum { bytes: 0, weight: 0, at: now };
        let mut add = |tenant: &Tenant| {
            let (bytes, weight) = tenant.counts(tick);
            sum.bytes = sum.bytes.saturating_add(bytes);
            sum.weight += u64::from(weight);
        };
        let principals = self.principals.read().unwrap_or_else(PoisonError::into_inner);
        principals.iter().filter_map(Weak::upgrade).for_each(|tenant| add(&tenant));
        lock(&self.addresses).tenants.iter().for_each(|(_, tenant)| add(tenant));
        *known = Some(sum);
        sum
    }

    fn tenant(&self, who: &Competitor) -> Option<Arc<Tenant>> {
        match who {
            Competitor::Principal(tenant) => Some(Arc::clone(tenant)),
            Competitor::Client(key, weight) => Some(lock(&self.addresses).tenant(*key, *weight)),
            Competitor::Nobody => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever panics under these locks leaves counts that are right or a little off.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ByAddress {
    fn tenant(&mut self, key: ClientKey, weight: u32) -> Arc<Tenant> {
        if let Some((_, tenant)) = self.places.get(&key).and_then(|&place| self.tenants.get_mut(place)) {
            if tenant.weight != weight {
                let had = *tenant.had();
                *tenant = Arc::new(Tenant { weight, had: Mutex::new(had) });
            }
            return Arc::clone(tenant);
        }
        let new = (key, Arc::new(Tenant::new(weight)));
        let tenant = Arc::clone(&new.1);
        let place = if self.tenants.len() < FAIR_ADDRESSES_MAX {
            self.tenants.push(new);
            self.tenants.len() - 1
        } else {
            let place = self.with_least();
            if let Some(old) = self.tenants.get_mut(place) {
                self.places.remove(&old.0);
                *old = new;
            }
            place
        };
        self.places.insert(key, place);
        tenant
    }

    /// The place of the one that has had least, of the next few.
    fn with_least(&mut self) -> usize {
        let count = self.tenants.len().max(1);
        let looks = (0..LOOKS).map(|look| (self.hand + look) % count);
        let bytes = |place: &usize| self.tenants.get(*place).map_or(0, |(_, tenant)| tenant.had().bytes);
        let place = looks.min_by_key(bytes).unwrap_or_default();
        self.hand = (self.hand + LOOKS) % count;
        place
    }
}

#[cfg(test)]
mod tests;
