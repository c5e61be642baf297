//! Certificates of clients, which the listener has checked: whose they are.

use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::Pattern;
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked::{CertificateHolder, CertificateName};
use crate::edge::gate::throttle::Throttle;
use crate::edge::listen::certificate::ClientCertificate;

type ByName = HashMap<Box<str>, Arc<Principal>, foldhash::fast::RandomState>;

/// All of `[[client_certificate]]`. Names without a star count before those with one, and common names before
/// alternative ones.
#[derive(Debug, Default)]
pub struct Certificates {
    common: ByName,
    alternative: ByName,
    /// Whether it is about the common name, in the order of the file.
    patterns: Vec<(bool, Pattern, Arc<Principal>)>,
}

impl Certificates {
    /// As the configuration has them; of two with the same name the first counts. What they have taken so
    /// far is known to `throttle`.
    pub fn new(holders: &[CertificateHolder], throttle: &Throttle) -> Self {
        let mut found = Self::default();
        for holder in holders {
            let allowed = (&holder.policy, holder.allowance);
            let kind = IdentityKind::ClientCertificate;
            let principal = Principal::named(kind, &holder.name, allowed, throttle);
            match &holder.shown {
                CertificateName::Common(name) => {
                    found.common.entry(name.as_str().into()).or_insert(principal);
                }
                CertificateName::Alternative(name) => {
                    found.alternative.entry(name.as_str().into()).or_insert(principal);
                }
                CertificateName::CommonLike(pattern) => {
                    found.patterns.push((true, pattern.clone(), principal));
                }
                CertificateName::AlternativeLike(pattern) => {
                    found.patterns.push((false, pattern.clone(), principal));
                }
            }
        }
        found
    }

    /// Whose certificate a connection has shown. One that is nobody's is no wrong proof: a listener may ask for
    /// certificates of all clients, who prove by something else who they are.
    pub fn identify(&self, shown: Option<&ClientCertificate>) -> Attempt {
        let Some(shown) = shown else { return Attempt::Absent };
        let common = shown.common_name.as_deref();
        let alternative = || shown.alternative_names.iter().map(String::as_str);
        let exact = common.and_then(|name| self.common.get(name));
        let exact = exact.or_else(|| alternative().find_map(|name| self.alternative.get(name)));
        let found = exact.or_else(|| {
            let is_like = |(is_common, pattern, _): &&(bool, Pattern, Arc<Principal>)| match is_common {
                true => common.is_some_and(|name| pattern.matches(name)),
                false => alternative().any(|name| pattern.matches(name)),
            };
            self.patterns.iter().find(is_like).map(|(_, _, principal)| principal)
        });
        found.map_or(Attempt::Unknown("the certificate is not known"), |principal| {
            Attempt::Is(Arc::clone(principal))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{Allowance, Limits};
    use crate::edge::identity::policy::Policy;
    use crate::telemetry::metrics::Registry;

    fn holder(name: &str, shown: CertificateName) -> CertificateHolder {
        let (policy, allowance) = (Policy::default(), Allowance::default());
        CertificateHolder { name: name.to_owned(), shown, policy, allowance }
    }

    fn like(text: &str) -> Pattern {
        Pattern::parse(text, |_| true).unwrap()
    }

    fn whose(common_name: Option<&str>, alternative_names: &[&str]) -> Option<String> {
        let holders = [
            holder("all sensors", CertificateName::CommonLike(like("sensor-*"))),
            holder("seven", CertificateName::Common("sensor-7".to_owned())),
            holder("another seven", CertificateName::Common("sensor-7".to_owned())),
            holder("gateway", CertificateName::Alternative("gw.example".to_owned())),
            holder("workloads", CertificateName::AlternativeLike(like("spiffe://example/*"))),
        ];
        let shown = ClientCertificate {
            subject: "CN=gw.example, O=sensor-7".to_owned(),
            common_name: common_name.map(str::to_owned),
            alternative_names: alternative_names.iter().map(|&name| name.to_owned()).collect(),
            serial: "01".to_owned(),
        };
        let throttle = Throttle::new(&Limits::default(), &Registry::new().unwrap());
        match Certificates::new(&holders, &throttle).identify(Some(&shown)) {
            Attempt::Is(principal) => Some(principal.name.to_string()),
            Attempt::Unknown(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_certificate_is_its_holders_by_the_closest_name() {
        assert_eq!(whose(Some("sensor-7"), &[]).as_deref(), Some("seven"));
        assert_eq!(whose(Some("sensor-8"), &["gw.example"]).as_deref(), Some("gateway"));
        assert_eq!(whose(Some("sensor-8"), &["spiffe://example/a"]).as_deref(), Some("all sensors"));
        assert_eq!(whose(None, &["other", "spiffe://example/a"]).as_deref(), Some("workloads"));
    }

    #[test]
    fn a_name_counts_only_where_it_stands() {
        // What is a common name for some is none as an alternative name, and the other way round.
        assert_eq!(whose(None, &["sensor-7", "sensor-8"]), None);
        assert_eq!(whose(Some("gw.example"), &[]), None);
        assert_eq!(whose(Some("Sensor-7"), &[]), None);
        assert_eq!(whose(None, &[]), None);
        assert!(matches!(Certificates::default().identify(None), Attempt::Absent));
    }
}
