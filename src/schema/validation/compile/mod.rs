//! Schema documents → nodes.

mod array;
mod captures;
mod keywords;
mod link;
mod object;
mod reference;
mod scalar;

use std::collections::{BTreeMap, VecDeque};

use foldhash::quality::RandomState;
use jsonschema::Draft;
use serde_json::{Map, Value};

use super::error::SchemaError;
use super::node::{Node, NodeId, Rule};
use super::values::Values;

pub(super) use captures::attach;

/// Why a schema has no compiled form.
#[derive(Debug)]
pub(super) enum Bail {
    /// It uses what is not claimed here; the text says what and where.
    Fallback(String),
    /// It can never be used.
    Error(SchemaError),
}

impl Bail {
    fn unclaimed(what: &str, at: &str) -> Self {
        Bail::Fallback(format!("{what} at {}", super::error::shown(at)))
    }
}

/// Nodes and where to start among them.
#[derive(Debug)]
pub(super) struct Nodes {
    pub list: Vec<Node>,
    pub root: NodeId,
}

impl Nodes {
    /// The schema `true`.
    pub fn any() -> Self {
        Self { list: vec![Node::any(), Node::never()], root: NodeId::ANY }
    }
}

/// Compiles a document that its draft's meta-schema has already accepted.
pub(super) fn compile(
    document: &Value,
    draft: Draft,
    formats: bool,
    seed: &RandomState,
) -> Result<Nodes, Bail> {
    let nodes = Nodes::any().list;
    let mut compiler =
        Compiler { document, draft, formats, seed, nodes, ids: BTreeMap::new(), pending: VecDeque::new() };
    let root = compiler.node_for(document, String::new());
    while let Some((id, schema, at)) = compiler.pending.pop_front() {
        compiler.nodes[id.index()] = compiler.node(schema, &at)?;
    }
    let pointers = compiler.ids.into_iter().map(|(pointer, id)| (id, pointer)).collect();
    link::link(Nodes { list: compiler.nodes, root }, &pointers)
}

struct Compiler<'s> {
    document: &'s Value,
    draft: Draft,
    /// Whether `format` is an assertion.
    formats: bool,
    seed: &'s RandomState,
    nodes: Vec<Node>,
    /// The node of each place in the document that has one.
    ids: BTreeMap<String, NodeId>,
    /// Places whose node is not compiled yet: a queue, so that no nesting of schemas can exhaust the stack.
    pending: VecDeque<(NodeId, &'s Map<String, Value>, String)>,
}

impl<'s> Compiler<'s> {
    /// The node of the schema at the pointer `at`. Anything that is no schema is caught by the meta-schema, or by
    /// [`Compiler::resolve`].
    fn node_for(&mut self, schema: &'s Value, at: String) -> NodeId {
        match schema {
            Value::Object(keywords) if !keywords.is_empty() => {
                if let Some(&id) = self.ids.get(&at) {
                    return id;
                }
                let id = NodeId(self.nodes.len() as u32);
                self.nodes.push(Node::any());
                self.ids.insert(at.clone(), id);
                self.pending.push_back((id, keywords, at));
                id
            }
            Value::Bool(false) => NodeId::NEVER,
            _ => NodeId::ANY,
        }
    }

    fn node(&mut self, schema: &'s Map<String, Value>, at: &str) -> Result<Node, Bail> {
        let mut node = Node::any();
        // Up to draft 7 a reference makes its schema ignore everything else.
        if self.draft <= Draft::Draft7
            && let Some(reference) = schema.get("$ref")
        {
            node.rules.push(Rule::All(self.resolve(reference, at)?));
            return Ok(node);
        }
        for (keyword, value) in schema {
            if !keywords::is_claimed(keyword, value, self.draft, at.is_empty()) {
                return Err(Bail::unclaimed(&format!("\"{keyword}\""), at));
            }
        }
        if let Some(types) = schema.get("type") {
            node.kinds = scalar::kinds(types).ok_or_else(|| Bail::unclaimed("\"type\"", at))?;
        }
        node.values = self.values(schema, at, &mut node.rules)?;
        node.number = self.number(schema, at)?;
        node.string = self.string(schema, at)?;
        node.object = self.object(schema, at)?;
        node.array = self.array(schema, at)?;
        if let Some(reference) = schema.get("$ref") {
            node.rules.push(Rule::All(self.resolve(reference, at)?));
        }
        self.array_rules(schema, at, &mut node.rules)?;
        self.combinations(schema, at, &mut node.rules)?;
        Ok(node)
    }

    /// `enum` and `const`; where both are there, `const` becomes a node of its own.
    fn values(
        &mut self,
        schema: &Map<String, Value>,
        at: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<Option<Box<Values>>, Bail> {
        let list = |values: &[Value]| {
            let list = Values::new(values, self.seed).ok_or_else(|| Bail::unclaimed("a value", at))?;
            Ok(Some(Box::new(list)))
        };
        let constant = schema.get("const").map(std::slice::from_ref);
        match (schema.get("enum"), constant) {
            (None, None) => Ok(None),
            (None, Some(constant)) => list(constant),
            (Some(Value::Array(values)), None) => list(values),
            (Some(Value::Array(values)), Some(constant)) => {
                let node = Node { values: list(constant)?, ..Node::any() };
                let values = list(values)?;
                rules.push(Rule::All(NodeId(self.nodes.len() as u32)));
                self.nodes.push(node);
                Ok(values)
            }
            _ => Err(Bail::unclaimed("\"enum\"", at)),
        }
    }

    /// `allOf`, `anyOf`, `oneOf`, `not`, `if`.
    fn combinations(
        &mut self,
        schema: &'s Map<String, Value>,
        at: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<(), Bail> {
        rules.extend(self.alternatives(schema, at, "allOf")?.into_iter().flatten().map(Rule::All));
        rules.extend(self.alternatives(schema, at, "anyOf")?.map(Rule::Any));
        rules.extend(self.alternatives(schema, at, "oneOf")?.map(Rule::One));
        if let Some(not) = schema.get("not") {
            rules.push(Rule::Not(self.node_for(not, format!("{at}/not"))));
        }
        if let Some(condition) = schema.get("if") {
            let condition = self.node_for(condition, format!("{at}/if"));
            let mut branch = |keyword: &str| match schema.get(keyword) {
                Some(branch) => self.node_for(branch, format!("{at}/{keyword}")),
                None => NodeId::ANY,
            };
            let (then, otherwise) = (branch("then"), branch("else"));
            rules.push(Rule::If { condition, then, otherwise });
        }
        Ok(())
    }

    fn alternatives(
        &mut self,
        schema: &'s Map<String, Value>,
        at: &str,
        keyword: &str,
    ) -> Result<Option<Vec<NodeId>>, Bail> {
        let Some(list) = schema.get(keyword) else { return Ok(None) };
        let list = list.as_array().ok_or_else(|| Bail::unclaimed(&format!("\"{keyword}\""), at))?;
        let nodes = list
            .iter()
            .enumerate()
            .map(|(index, item)| self.node_for(item, format!("{at}/{keyword}/{index}")));
        Ok(Some(nodes.collect()))
    }
}

/// A pointer to the member `name` of what `at` points to.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A count of items, characters or properties: since draft 6 it may be written as `2.0`.
fn count(value: &Value) -> Option<u64> {
    const EXACT_MAX: f64 = (1u64 << 53) as f64;
    let integral = |double: &f64| double.fract() == 0.0 && (0.0..EXACT_MAX).contains(double);
    value.as_u64().or_else(|| value.as_f64().filter(integral).map(|double| double as u64))
}

/// The bounds of a count that two keywords give.
fn counts(schema: &Map<String, Value>, keywords: [&str; 2], at: &str) -> Result<Option<(u64, u64)>, Bail> {
    let bound = |keyword: &str| match schema.get(keyword) {
        None => Ok(None),
        Some(value) => count(value).map(Some).ok_or_else(|| Bail::unclaimed(&format!("\"{keyword}\""), at)),
    };
    Ok(match (bound(keywords[0])?, bound(keywords[1])?) {
        (None, None) => None,
        (min, max) => Some((min.unwrap_or(0), max.unwrap_or(u64::MAX))),
    })
}
