//! The partition key of a record: order is promised among records that share it.

use forebay::testkit::generators::Profile;
use serde_json::Value;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Where the partition key of a record is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyRule {
    /// Where the profile has it: `session_id`, `device_id`, `host`. Replayed records have none.
    #[default]
    Profile,
    /// In this member; several names lead into objects.
    Member(Vec<String>),
    /// Nowhere: records have no order, as with random keys.
    Nowhere,
}

/// Not a pointer to a member.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no key: give a JSON pointer to a member such as /client_ip, or none")]
pub struct BadKey(String);

impl KeyRule {
    /// Reads a JSON pointer (RFC 6901), or `none`.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        if text == "none" {
            return Ok(KeyRule::Nowhere);
        }
        let path = text.strip_prefix('/').ok_or_else(|| BadKey(text.to_owned()))?;
        Ok(KeyRule::Member(path.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The path to the key of a profile's records; of replayed ones if there is no profile.
    pub(super) fn path(&self, profile: Option<Profile>) -> Option<Vec<&str>> {
        match self {
            KeyRule::Nowhere => None,
            KeyRule::Member(path) => Some(path.iter().map(String::as_str).collect()),
            KeyRule::Profile => profile.map(|profile| vec![profile.key_field()]),
        }
    }

    /// The hash of a record's key.
    pub(super) fn hash_of(
        &self,
        profile: Option<Profile>,
        record: &serde_json::Map<String, Value>,
    ) -> Option<u64> {
        let find = |path: &[&str]| {
            let (first, rest) = path.split_first()?;
            rest.iter().try_fold(record.get(*first)?, |value, name| value.get(name))
        };
        // The common cases without a list of names.
        let value = match (self, profile) {
            (KeyRule::Profile, Some(profile)) => record.get(profile.key_field()),
            _ => self.path(profile).and_then(|path| find(&path)),
        };
        match value? {
            Value::Null => None,
            Value::String(text) => Some(xxh3_64(text.as_bytes())),
            other => Some(xxh3_64(other.to_string().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_the_key() {
        let record = serde_json::json!({"a": {"b/c": "k"}, "n": 7, "device_id": "d", "z": null});
        let record = record.as_object().unwrap();
        let hash = |key: &str| KeyRule::parse(key).unwrap().hash_of(None, record);
        assert_eq!(hash("/a/b~1c"), Some(xxh3_64(b"k")));
        assert_eq!(hash("/n"), Some(xxh3_64(b"7")));
        assert_eq!((hash("/z"), hash("/none"), hash("none")), (None, None, None));
        assert_eq!(KeyRule::Profile.hash_of(Some(Profile::Iot), record), Some(xxh3_64(b"d")));
        assert_eq!(KeyRule::Profile.hash_of(None, record), None);
        assert!(KeyRule::parse("client_ip").is_err());
    }
}
