//! Where the server listens: `[server] listen` and `[[listener]]` of `forebay.toml`, raw → checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustls::SupportedProtocolVersion;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access::parse_network;
use super::checker::Checker;
use super::limits::{LISTENERS_MAX, TRUSTED_PROXIES_MAX, UNIX_PATH_BYTES_MAX};
use crate::edge::listen::tls;

/// One of `[[listener]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerTable {
    /// Address and port. Either this or `unix`.
    #[schemars(example = &"0.0.0.0:8443")]
    pub address: Option<String>,
    /// Path of a Unix socket, which its owner and group may connect to.
    #[schemars(example = &"/run/forebay/edge.sock")]
    pub unix: Option<String>,
    /// Certificates. Default: nothing is encrypted.
    pub tls: Option<TlsTable>,
    /// Whether each connection begins with a PROXY header, version 2. Default: false.
    #[schemars(example = true)]
    pub proxy_protocol: Option<bool>,
    /// Whether the routes of the admin port are here instead of those of streams. Default: false.
    #[schemars(example = true)]
    pub admin: Option<bool>,
}

/// `tls` of a listener.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTable {
    /// PEM file with the certificate of the server and those between it and an authority, relative to this file.
    #[schemars(required, example = &"server.pem")]
    pub certificate: Option<String>,
    /// PEM file with its private key: PKCS #8, PKCS #1 or SEC 1.
    #[schemars(required, example = &"server.key")]
    pub key: Option<String>,
    /// PEM file with the authorities that certificates of clients are checked against. Default: none are asked for.
    #[schemars(example = &"clients.pem")]
    pub client_ca: Option<String>,
    /// Whether clients must have one, where there is `client_ca`: `required` or `optional`. Default: `required`.
    #[schemars(extend("enum" = ["required", "optional"]), example = &"required")]
    pub client_certificate: Option<String>,
    /// The oldest version that is taken: `1.2` or `1.3`. Default: `1.2`.
    #[schemars(extend("enum" = ["1.2", "1.3"]), example = &"1.3")]
    pub min_version: Option<String>,
}

/// Where connections come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The place.
    pub at: ListenAt,
    /// There if connections are encrypted.
    pub tls: Option<Tls>,
    /// Whether each begins with a PROXY header, version 2.
    pub is_behind_proxy: bool,
}

impl Listener {
    /// Nothing but the address.
    pub fn plain(address: SocketAddr) -> Self {
        Self { at: ListenAt::Tcp(address), tls: None, is_behind_proxy: false }
    }
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAt {
    /// An address; port 0 is a free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ListenAt {
    /// Whether only programs on this machine can come here.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAt::Tcp(address) => address.ip().to_canonical().is_loopback(),
            ListenAt::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAt::Tcp(address) => address.fmt(f),
            ListenAt::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The newest version alone.
static ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Certificates of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the server's certificates.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// What clients have to show.
    pub clients: ClientCertificates,
    /// Whether TLS 1.2 is refused.
    pub only_1_3: bool,
}

impl Tls {
    /// The versions that are spoken.
    pub fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        match self.only_1_3 {
            true => ONLY_1_3,
            false => rustls::ALL_VERSIONS,
        }
    }
}

/// What clients have to show. The file has the authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing.
    Ignored,
    /// A certificate if they have one.
    Optional(PathBuf),
    /// A certificate.
    Required(PathBuf),
}

const CERTIFICATE_HELP: &str = "write certificate = \"server.pem\", a PEM file beside this one";
const KEY_HELP: &str = "write key = \"server.key\", a PEM file beside this one";

/// An address of a setting, or the default.
pub(super) fn check_address(
    path: &str,
    text: Option<&str>,
    port: u16,
    checker: &mut Checker<'_>,
) -> Option<SocketAddr> {
    let Some(text) = text else { return Some((Ipv4Addr::LOCALHOST, port).into()) };
    let address = text.parse().ok();
    if address.is_none() {
        let quoted = checker.quote(path, text);
        let message = format!(
            "{quoted} is no address: write an IP address and a port, such as \"127.0.0.1:{port}\" or \"[::]:{port}\""
        );
        checker.problem(path, message);
    }
    address
}

/// Whether both cannot be bound: port 0 is a free one each time, and an unspecified address takes in every other.
pub(super) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || any(one.ip()) || any(other.ip()))
}

/// Listeners by what is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Doors {
    /// The routes of streams.
    pub clients: Vec<Listener>,
    /// Those of the admin port.
    pub admin: Vec<Listener>,
}

/// Every table, behind the listeners that there are already; `None` where a problem was added.
pub(super) fn check_listeners(
    tables: Vec<ListenerTable>,
    mut known: Doors,
    checker: &mut Checker<'_>,
) -> Option<Doors> {
    if tables.len() > LISTENERS_MAX {
        let found = tables.len();
        let message = format!("{found} listeners are too many: there may be {LISTENERS_MAX}");
        checker.problem(&format!("listener[{LISTENERS_MAX}]"), message);
        return None;
    }
    let mut all_right = true;
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("listener[{index}]");
        let is_admin = table.admin.unwrap_or(false);
        let Some(listener) = check_listener(table, &path, checker) else {
            all_right = false;
            continue;
        };
        let taken = |other: &ListenAt| match (&listener.at, other) {
            (ListenAt::Tcp(one), ListenAt::Tcp(other)) => collide(*one, *other),
            (one, other) => one == other,
        };
        let all = known.clients.iter().chain(&known.admin).map(|known| &known.at);
        if let Some(other) = all.into_iter().find(|at| taken(at)) {
            let message = format!("{} is taken by {other}: each listener needs its own place", listener.at);
            checker.problem(&path, message);
            all_right = false;
        }
        if is_admin { known.admin.push(listener) } else { known.clients.push(listener) }
    }
    all_right.then_some(known)
}

fn check_listener(table: ListenerTable, path: &str, checker: &mut Checker<'_>) -> Option<Listener> {
    let at = match (table.address, table.unix) {
        (Some(address), None) => {
            check_address(&format!("{path}.address"), Some(&address), 8443, checker).map(ListenAt::Tcp)
        }
        (None, Some(unix)) => check_unix(&unix, &format!("{path}.unix"), checker).map(ListenAt::Unix),
        _ => {
            let message = "a listener has an address or a Unix socket: write address = \"0.0.0.0:8443\" or unix = \"/run/forebay/edge.sock\"";
            checker.problem(path, message);
            None
        }
    };
    let tls = check_tls(table.tls, &format!("{path}.tls"), checker);
    Some(Listener { at: at?, tls: tls?, is_behind_proxy: table.proxy_protocol.unwrap_or(false) })
}

fn check_unix(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<PathBuf> {
    let found = beside(text, checker);
    let bytes = found.as_os_str().len();
    if text.is_empty() || bytes > UNIX_PATH_BYTES_MAX {
        let quoted = checker.quote(path, text);
        let message =
            format!("{quoted} is no path of a socket: write one of 1 to {UNIX_PATH_BYTES_MAX} bytes");
        checker.problem(path, message);
        return None;
    }
    Some(found)
}

/// Certificates, which are read as they are when the server starts.
pub(super) fn check_tls(
    table: Option<TlsTable>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Option<Tls>> {
    let Some(table) = table else { return Some(None) };
    let certificate = checker.required(&format!("{path}.certificate"), table.certificate, CERTIFICATE_HELP);
    let key = checker.required(&format!("{path}.key"), table.key, KEY_HELP);
    let rule_path = format!("{path}.client_certificate");
    let rule = table.client_certificate.as_deref();
    let is_required = checker.word(&rule_path, rule, true, &[("required", true), ("optional", false)]);
    let version = table.min_version.as_deref();
    let versions = [("1.2", false), ("1.3", true)];
    let only_1_3 = checker.word(&format!("{path}.min_version"), version, false, &versions);
    if rule.is_some() && table.client_ca.is_none() {
        let message = "client_certificate needs the authorities that they are checked against: write client_ca = \"clients.pem\"";
        checker.problem(&rule_path, message);
        return None;
    }
    let authorities = table.client_ca.map(|file| beside(&file, checker));
    let clients = match (authorities, is_required?) {
        (None, _) => ClientCertificates::Ignored,
        (Some(file), true) => ClientCertificates::Required(file),
        (Some(file), false) => ClientCertificates::Optional(file),
    };
    let (certificate, key) = (beside(&certificate?, checker), beside(&key?, checker));
    let tls = Tls { certificate, key, clients, only_1_3: only_1_3? };
    if let Err(error) = tls::load(&tls) {
        checker.problem(path, format!("the certificates cannot be used: {error}"));
        return None;
    }
    Some(Some(tls))
}

/// A file named in the configuration: relative to the folder of the file that names it.
pub(super) fn beside(name: &str, checker: &Checker<'_>) -> PathBuf {
    checker.document.file().parent().unwrap_or(Path::new("")).join(name)
}

/// `[server] trusted_proxies`.
pub(super) fn check_trusted_proxies(
    texts: Option<Vec<String>>,
    checker: &mut Checker<'_>,
) -> Option<Vec<IpNet>> {
    check_networks(texts.unwrap_or_default(), "server.trusted_proxies", TRUSTED_PROXIES_MAX, checker)
}

/// A list of addresses and networks.
pub(super) fn check_networks(
    texts: Vec<String>,
    path: &str,
    max: usize,
    checker: &mut Checker<'_>,
) -> Option<Vec<IpNet>> {
    if texts.len() > max {
        let message = format!("{} networks are too many: there may be {max}", texts.len());
        checker.problem(path, message);
        return None;
    }
    let mut networks = Vec::with_capacity(texts.len());
    let mut all_right = true;
    for (index, text) in texts.iter().enumerate() {
        match parse_network(text) {
            Some(network) => networks.push(network.trunc()),
            None => {
                let path = format!("{path}[{index}]");
                let quoted = checker.quote(&path, text);
                let message =
                    format!("{quoted} is no network: write one such as \"10.0.0.0/8\" or \"2001:db8::1\"");
                checker.problem(&path, message);
                all_right = false;
            }
        }
    }
    all_right.then_some(networks)
}
