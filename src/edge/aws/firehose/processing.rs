//! The shapes of `ProcessingConfiguration`, and what its processors come to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::jq::{self, KeyQuery};
use super::unsupported;
use crate::edge::aws::protocol::failure::Failure;

/// `ProcessingConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Processing {
    /// Whether it is used.
    pub enabled: Option<bool>,
    /// In the order of a record's way.
    pub processors: Option<Vec<Processor>>,
}

/// `Processor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Processor {
    /// Which.
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    /// Its settings.
    pub parameters: Option<Vec<Parameter>>,
}

/// `ProcessorParameter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Parameter {
    /// Which.
    pub parameter_name: Option<String>,
    /// Its value.
    pub parameter_value: Option<String>,
}

/// How one record of a client is taken for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeAggregation {
    /// JSON values one behind the other, or the elements of one array.
    Json,
    /// What stands between these bytes.
    Delimited(Vec<u8>),
}

/// What the processors do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// Partition keys by name.
    pub keys: BTreeMap<String, KeyQuery>,
    /// Whether a record may be several.
    pub de_aggregation: Option<DeAggregation>,
    /// What is written behind each record.
    pub delimiter: Option<String>,
    /// The function that records go through.
    pub function: Option<FunctionStep>,
}

/// What `Lambda` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionStep {
    /// Name of the function.
    pub name: String,
    /// Bytes of records that a call is made for.
    pub buffer_bytes: u64,
    /// How long a record waits for others.
    pub buffer_interval: Duration,
    /// How often a call that has failed is made again.
    pub retries: u32,
}

/// `BufferSizeInMBs` of a function where it is not given, its least and its most.
const FUNCTION_MBS: (f64, f64, f64) = (1.0, 0.2, 3.0);
/// The same of `BufferIntervalInSeconds`, which begins at 0.
const FUNCTION_SECONDS: (u32, u32) = (60, 900);
/// The same of `NumberOfRetries`.
const FUNCTION_RETRIES: (u32, u32) = (3, 300);

/// Bytes of a delimiter, decoded.
const DELIMITER_BYTES_MAX: usize = 64;

impl Processing {
    /// What the processors do; nothing where they are not used.
    ///
    /// # Errors
    /// [`Failure`] that names the processor or its parameter.
    pub fn steps(&self) -> Result<Steps, Failure> {
        let mut steps = Steps::default();
        if !self.enabled.unwrap_or(false) {
            return Ok(steps);
        }
        let mut seen = Vec::new();
        for processor in self.processors.iter().flatten() {
            let kind = processor.kind.as_deref().unwrap_or_default();
            if seen.contains(&kind) {
                return Err(Failure::invalid(format!(
                    "ProcessingConfiguration can have only one processor of type {kind}"
                )));
            }
            seen.push(kind);
            let parameters = processor.parameters()?;
            match kind {
                "MetadataExtraction" => steps.keys = metadata_extraction(&parameters)?,
                "RecordDeAggregation" => steps.de_aggregation = Some(de_aggregation(&parameters)?),
                "AppendDelimiterToRecord" => steps.delimiter = Some(appended_delimiter(&parameters)?),
                "Lambda" => steps.function = Some(function(&parameters)?),
                _ => {
                    return Err(unsupported(&format!("the processor {kind}")));
                }
            }
        }
        Ok(steps)
    }
}

type Parameters<'a> = BTreeMap<&'a str, &'a str>;

impl Processor {
    fn parameters(&self) -> Result<Parameters<'_>, Failure> {
        let kind = self.kind.as_deref().unwrap_or_default();
        let known: &[&str] = match kind {
            "MetadataExtraction" => &["MetadataExtractionQuery", "JsonParsingEngine"],
            "RecordDeAggregation" => &["SubRecordType", "Delimiter"],
            "AppendDelimiterToRecord" => &["Delimiter"],
            "Lambda" => {
                &["LambdaArn", "NumberOfRetries", "RoleArn", "BufferSizeInMBs", "BufferIntervalInSeconds"]
            }
            _ => &[],
        };
        let mut parameters = Parameters::new();
        for parameter in self.parameters.iter().flatten() {
            let name = parameter.parameter_name.as_deref().unwrap_or_default();
            let value = parameter.parameter_value.as_deref().unwrap_or_default();
            if !known.contains(&name) {
                // Processors that are not known at all are refused by their own name.
                if known.is_empty() {
                    continue;
                }
                return Err(Failure::invalid(format!("{kind} has no parameter {name}")));
            }
            if parameters.insert(name, value).is_some() {
                return Err(Failure::invalid(format!("{kind} has the parameter {name} twice")));
            }
        }
        Ok(parameters)
    }
}

fn needed<'a>(parameters: &Parameters<'a>, kind: &str, name: &str) -> Result<&'a str, Failure> {
    let missing = || Failure::invalid(format!("{kind} needs the parameter {name}"));
    parameters.get(name).copied().ok_or_else(missing)
}

fn metadata_extraction(parameters: &Parameters<'_>) -> Result<BTreeMap<String, KeyQuery>, Failure> {
    const KIND: &str = "MetadataExtraction";
    match needed(parameters, KIND, "JsonParsingEngine")? {
        "JQ-1.6" => {}
        other => {
            let message =
                format!("JsonParsingEngine {other:?} of {KIND} is not supported: it must be JQ-1.6");
            return Err(Failure::invalid(message));
        }
    }
    let query = needed(parameters, KIND, "MetadataExtractionQuery")?;
    jq::parse(query).map_err(|error| Failure::invalid(format!("MetadataExtractionQuery: {error}")))
}

fn de_aggregation(parameters: &Parameters<'_>) -> Result<DeAggregation, Failure> {
    const KIND: &str = "RecordDeAggregation";
    match needed(parameters, KIND, "SubRecordType")? {
        "JSON" if parameters.contains_key("Delimiter") => {
            Err(Failure::invalid("RecordDeAggregation takes a Delimiter for SubRecordType DELIMITED only"))
        }
        "JSON" => Ok(DeAggregation::Json),
        // Clients send it in base64; what is no base64 is taken as it is.
        "DELIMITED" => {
            use base64::Engine as _;
            let text = needed(parameters, KIND, "Delimiter")?;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            let bytes = if decoded.is_empty() { unescaped(text).into_bytes() } else { decoded };
            if bytes.len() > DELIMITER_BYTES_MAX {
                let message = format!("Delimiter of {KIND} has more than {DELIMITER_BYTES_MAX} bytes");
                return Err(Failure::invalid(message));
            }
            Ok(DeAggregation::Delimited(bytes))
        }
        other => {
            Err(Failure::invalid(format!("SubRecordType {other:?} of {KIND} must be JSON or DELIMITED")))
        }
    }
}

fn appended_delimiter(parameters: &Parameters<'_>) -> Result<String, Failure> {
    let text = parameters.get("Delimiter").copied().unwrap_or("\\n");
    Ok(unescaped(text))
}

/// `\n` as clients write it in a setting: a backslash and a letter.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")
}

fn function(parameters: &Parameters<'_>) -> Result<FunctionStep, Failure> {
    let (default, least, most) = FUNCTION_MBS;
    let mbs = match parameters.get("BufferSizeInMBs") {
        None => Some(default),
        Some(text) => text.parse::<f64>().ok().filter(|mbs| (least..=most).contains(mbs)),
    };
    let mbs = mbs.ok_or_else(|| {
        Failure::invalid(format!("BufferSizeInMBs of Lambda must be a number from {least} to {most}"))
    })?;
    let interval = whole_number(parameters, "BufferIntervalInSeconds", FUNCTION_SECONDS)?;
    Ok(FunctionStep {
        name: function_name(parameters)?,
        // Between 0.2 and 3 MiB.
        buffer_bytes: (mbs * f64::from(1 << 20)) as u64,
        buffer_interval: Duration::from_secs(interval.into()),
        retries: whole_number(parameters, "NumberOfRetries", FUNCTION_RETRIES)?,
    })
}

fn whole_number(
    parameters: &Parameters<'_>,
    name: &str,
    (default, most): (u32, u32),
) -> Result<u32, Failure> {
    let Some(text) = parameters.get(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number <= most);
    number
        .ok_or_else(|| Failure::invalid(format!("{name} of Lambda must be a whole number from 0 to {most}")))
}

/// The name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION`, or the text itself.
fn function_name(parameters: &Parameters<'_>) -> Result<String, Failure> {
    let text = needed(parameters, "Lambda", "LambdaArn")?;
    let parts: Vec<_> = text.split(':').collect();
    let name = match parts.as_slice() {
        ["arn", _, "lambda", _, _, "function", name, ..] => name,
        [name] => name,
        _ => {
            let message = format!("LambdaArn {text:?} is no ARN of a function");
            return Err(Failure::invalid(message));
        }
    };
    Ok((*name).to_owned())
}
