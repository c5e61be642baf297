//! What the certificate of a client says about it.

use rustls_pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names of a certificate that was verified against the authorities of its listener. All text of it was written by the
/// authority, not by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject as one line, such as `CN=sensor-7, O=Example`.
    pub subject: String,
    /// The common name of the subject, if it has exactly one.
    pub common_name: Option<String>,
    /// The names of the extension for alternative ones: DNS names, URIs, mail addresses.
    pub alternative_names: Vec<String>,
    /// The serial number in hexadecimal digits.
    pub serial: String,
}

/// It verifies, and cannot be read.
#[derive(Debug, Error)]
#[error("the certificate of the client cannot be read: {0}")]
pub struct CertificateError(String);

impl ClientCertificate {
    /// Reads the names.
    ///
    /// # Errors
    /// If it is no certificate, or one of its names is no text.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let unreadable = |error: &dyn std::fmt::Display| CertificateError(error.to_string());
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| unreadable(&error))?;
        let names = parsed.subject_alternative_name().map_err(|error| unreadable(&error))?;
        let alternative_names = names.iter().flat_map(|names| &names.value.general_names).filter_map(text);
        let mut common_names = parsed.subject().iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (Some(name), None) => Some(name.as_str().map_err(|error| unreadable(&error))?.to_owned()),
            _ => None,
        };
        Ok(Self {
            subject: parsed.subject().to_string(),
            common_name,
            alternative_names: alternative_names.collect(),
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            Some((*name).to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(names: &[&str], common_names: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.subject_alt_names =
            names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_names_of_a_certificate_are_read() {
        let read =
            ClientCertificate::read(&certificate(&["spiffe://example/sensor/7"], &["sensor-7"])).unwrap();
        assert_eq!(read.subject, "CN=sensor-7, O=Example");
        assert_eq!(read.common_name.as_deref(), Some("sensor-7"));
        assert_eq!(read.alternative_names, ["spiffe://example/sensor/7"]);
        let read = ClientCertificate::read(&certificate(&[], &[])).unwrap();
        assert_eq!((read.common_name, read.alternative_names), (None, Vec::new()));
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert!(ClientCertificate::read(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])).is_err());
    }
}
