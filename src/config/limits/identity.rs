//! Who sends: keys, tokens, certificates, signatures, webhooks.

use std::time::Duration;

/// `[[access_key]]` of a node. A check of the id is one look into a map; each has up to [`SIGNING_KEYS_MAX`] derived keys
/// of about 700 bytes, 11 MB together.
pub const ACCESS_KEYS_MAX: usize = 1_000;

/// `[[api_key]]` of a node: each is looked for by its digest, and takes about 500 bytes, 10 MB together.
pub const API_KEYS_MAX: usize = 20_000;

/// Characters of an API key. Keys are kept as plain SHA-256, which is safe for what nobody can guess: 16 random
/// characters of 64 have 96 bits.
pub const API_KEY_BYTES_MIN: usize = 16;

/// See [`API_KEY_BYTES_MIN`].
pub const API_KEY_BYTES_MAX: usize = 256;

/// `[[client_certificate]]` of a node: names are looked for in a map, and take about 500 bytes each, 10 MB together.
pub const CLIENT_CERTIFICATES_MAX: usize = 20_000;

/// Those of them with `*` in their name: each costs a comparison with every request whose certificate is nobody's by its
/// whole name, about 20 ns, 2 µs together.
pub const CERTIFICATE_PATTERNS_MAX: usize = 100;

/// Characters of a name of a certificate: a URI in one has seldom more than 100, a DNS name at most 253.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 1_024;

/// `[[basic_user]]` of a node: looked for in a map, and about 700 bytes each, 14 MB together.
pub const BASIC_USERS_MAX: usize = 20_000;

/// Bytes of a password: more than people type, and its name and Base64 fit into a header of the default size.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// Passwords that are checked at a time: each takes a core for 0.1 s and more, so that who guesses takes two at most and
/// has about 15 guesses a second.
pub const PASSWORD_CHECKS_MAX: usize = 2;

/// Requests that wait until their password is checked: the last one for 64 / 2 × 0.2 s = 6.4 s.
pub const PASSWORD_CHECKS_WAITING_MAX: usize = 64;

/// `[[webhook]]` of a node: a request costs a look for the header of each, about 20 ns, 2 µs together.
pub const WEBHOOKS_MAX: usize = 100;

/// Secrets of a webhook: the body is hashed once for each.
pub const WEBHOOK_SECRETS_MAX: usize = 4;

/// Bytes of a secret of a webhook: senders make up to 100, and people choose some of theirs.
pub const WEBHOOK_SECRET_BYTES_RANGE: std::ops::RangeInclusive<usize> = 8..=1_024;

/// How far the time of a signature may be from ours at most.
pub const WEBHOOK_TOLERANCE_MAX: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Signatures in one header: Stripe sends one for each secret that is not over, two at most.
pub const WEBHOOK_SIGNATURES_MAX: usize = 8;

/// How long an HTTP authorizer may take at most: the client waits for it.
pub const AUTHORIZER_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// How long a decision of it may hold at most: so long somebody comes in who may not any more.
pub const AUTHORIZER_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// Decisions that may be kept: about 400 bytes with a grant, 40 MB together.
pub const AUTHORIZER_CACHE_MAX: usize = 100_000;

/// Headers of a call of the authorizer.
pub const AUTHORIZER_HEADERS_MAX: usize = 32;

/// What a request may have to show to be asked about.
pub const AUTHORIZER_SOURCES_MAX: usize = 8;

/// Calls at a time: with one of 10 ms, 6,400 a second.
pub const AUTHORIZER_CALLS_MAX: usize = 64;

/// Bytes of an answer: a hundred grants of 128 characters, or a policy of as many statements.
pub const AUTHORIZER_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Bytes of the name of a principal.
pub const AUTHORIZER_NAME_BYTES_MAX: usize = 256;

/// Actions, and streams, that an access key names: each costs a comparison of a name with every request of the key.
pub const ACCESS_KEY_PATTERNS_MAX: usize = 100;

/// Bytes of an access key's id, as in AWS.
pub const ACCESS_KEY_ID_BYTES_MAX: usize = 128;

/// Bytes of an access key's secret; those of AWS have 40.
pub const SECRET_BYTES_MAX: usize = 256;

/// Bytes of a session token. It travels in a header or in the path, which together have 16 KiB by default.
pub const SESSION_TOKEN_BYTES_MAX: usize = 4 << 10;

/// Derived keys that an access key keeps, the oldest of which goes first: two services, two days around midnight, and
/// four regions. Only requests with a right signature add one.
pub const SIGNING_KEYS_MAX: usize = 16;

/// `clock_skew` in seconds where it is not given.
pub const CLOCK_SKEW_SECONDS_DEFAULT: u64 = 15 * 60;

/// The most of it: a request that somebody has caught can be sent again for that long.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The least of it: the unit in which requests tell their time.
pub const CLOCK_SKEW_MIN: Duration = Duration::from_secs(1);

/// The longest life of a presigned URL in seconds, as in AWS: a week.
pub const PRESIGNED_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// `[[jwt_issuer]]` of a node: each has a task, and up to [`JWT_KEYS_MAX`] keys of 1 KiB.
pub const JWT_ISSUERS_MAX: usize = 32;

/// Bytes of a token. Those of large issuers have 1 to 4 KiB; half of the headers of a request, where these have their
/// default. What is larger is refused before a byte of it is decoded.
pub const JWT_BYTES_MAX: usize = 8 << 10;

/// Bytes of the name of a key. Usual ones are a hash: 43.
pub const JWT_KEY_ID_BYTES_MAX: usize = 256;

/// Bytes of `iss`; most are an address.
pub const JWT_ISSUER_BYTES_MAX: usize = 512;

/// Bytes of `sub`, which is written to logs.
pub const JWT_SUBJECT_BYTES_MAX: usize = 256;

/// Scopes of a token, each of which is looked up; and entries of `[jwt_issuer.scopes]` and of the other lists.
pub const JWT_SCOPES_MAX: usize = 128;

/// What a token may do, all scopes together: each costs a comparison with every request.
pub const JWT_GRANTS_MAX: usize = 256;

/// Keys of an issuer. Two or three are usual while they change; multi-tenant ones publish a few dozen.
pub const JWT_KEYS_MAX: usize = 100;

/// Keys that a token is tried with. One that names its key has one candidate; without a name, an issuer that is
/// changing its keys has two or three, at up to 0.1 ms each.
pub const JWT_KEYS_TRIED_MAX: usize = 4;

/// Bytes of an answer with keys: 100 of them with an RSA key of 4,096 bits and some certificates, 2.5 KiB each.
pub const JWT_KEY_SET_BYTES_MAX: usize = 256 << 10;

/// Bytes of a file with public keys: 100 of 4,096 bits are 80 KB of PEM.
pub const JWT_PUBLIC_KEY_FILE_BYTES_MAX: u64 = 256 << 10;

/// How long a fetch of keys may take, and the connection of it.
pub const JWT_FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// See [`JWT_FETCH_TIMEOUT`].
pub const JWT_FETCH_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for keys that are being fetched because its own is not known. As it has no body yet, it holds
/// what a silent connection does.
pub const JWT_KEYS_WAIT_MAX: Duration = Duration::from_secs(3);

/// Time between two fetches for keys that nobody knows: tokens that name keys at random have an issuer asked six times a
/// minute, however many they are, and a key that is new is known after this time at the latest.
pub const JWT_UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);

/// `refresh` where it is not given, and what it may be.
pub const JWT_REFRESH_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// See [`JWT_REFRESH_DEFAULT`]. The least is what an issuer notices.
pub const JWT_REFRESH_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// `outage_grace` where it is not given: a day, in which somebody notices. And the most: a week.
pub const JWT_OUTAGE_GRACE_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// See [`JWT_OUTAGE_GRACE_DEFAULT`].
pub const JWT_OUTAGE_GRACE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `clock_skew` of an issuer where it is not given, and the most: tokens live for minutes.
pub const JWT_CLOCK_SKEW_DEFAULT: Duration = Duration::from_secs(60);

/// See [`JWT_CLOCK_SKEW_DEFAULT`].
pub const JWT_CLOCK_SKEW_MAX: Duration = Duration::from_secs(10 * 60);

/// Tokens that are remembered as verified, the bytes of all of them, and the parts that this is divided into so that
/// threads do not wait for each other. A usual one takes 500 bytes: 65,536 × 500 = 32 MiB.
pub const JWT_CACHE_ENTRIES: usize = 65_536;

/// See [`JWT_CACHE_ENTRIES`].
pub const JWT_CACHE_BYTES: usize = 32 << 20;

/// See [`JWT_CACHE_ENTRIES`].
pub const JWT_CACHE_SHARDS: usize = 64;
