//! The compiled schema: flat nodes that refer to each other by number.

use std::sync::atomic::{AtomicU32, Ordering};

use super::format::Format;
use super::kinds::Kinds;
use super::number::{Bound, Divisor};
use super::pattern::Pattern;
use super::values::Values;

/// A node's place in [`super::Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub u32);

impl NodeId {
    /// The schema `true`: always the first node.
    pub const ANY: NodeId = NodeId(0);
    /// The schema `false`: always the second node.
    pub const NEVER: NodeId = NodeId(1);

    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One schema. Rules for a kind that is not in `kinds` may still be there: captures lie below them.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub kinds: Kinds,
    pub values: Option<Box<Values>>,
    pub string: Option<Box<StringRules>>,
    pub number: Option<Box<NumberRules>>,
    pub object: Option<Box<ObjectRules>>,
    pub array: Option<Box<ArrayRules>>,
    /// What needs a second look at the value once it is known to be JSON.
    pub rules: Vec<Rule>,
    /// Whether a second look may be needed: for `rules`, or for a list of values with arrays or objects in it.
    pub rescans: bool,
}

impl Node {
    pub fn any() -> Self {
        Node {
            kinds: Kinds::ALL,
            values: None,
            string: None,
            number: None,
            object: None,
            array: None,
            rules: Vec::new(),
            rescans: false,
        }
    }

    pub fn never() -> Self {
        Node { kinds: Kinds::NONE, ..Self::any() }
    }

    /// Whether nothing in it can turn a value down or be captured.
    pub fn is_any(&self) -> bool {
        self.kinds == Kinds::ALL
            && self.values.is_none()
            && self.string.is_none()
            && self.number.is_none()
            && self.object.is_none()
            && self.array.is_none()
            && self.rules.is_empty()
    }

    /// The node that this one only stands for (`{"$ref": …}` and nothing else).
    pub fn alias(&self) -> Option<NodeId> {
        match self.rules[..] {
            [Rule::All(target)] => {
                let rest = Node { rules: Vec::new(), ..self.clone() };
                rest.is_any().then_some(target)
            }
            _ => None,
        }
    }

    /// Shows every reference to a node that looks at the same value as this one.
    pub fn in_place(&self, mut visit: impl FnMut(NodeId)) {
        for rule in &self.rules {
            match rule {
                Rule::All(node) | Rule::Not(node) => visit(*node),
                Rule::Any(nodes) | Rule::One(nodes) => nodes.iter().copied().for_each(&mut visit),
                Rule::If { condition, then, otherwise } => {
                    [condition, then, otherwise].into_iter().copied().for_each(&mut visit);
                }
                Rule::Contains(_) | Rule::Unique => {}
            }
        }
        for dependent in self.object.iter().flat_map(|object| &object.dependents) {
            dependent.node.into_iter().for_each(&mut visit);
        }
    }

    /// Shows every reference to another node, to be changed.
    pub fn references_mut(&mut self, mut visit: impl FnMut(&mut NodeId)) {
        for rule in &mut self.rules {
            match rule {
                Rule::All(node) | Rule::Not(node) => visit(node),
                Rule::Any(nodes) | Rule::One(nodes) => nodes.iter_mut().for_each(&mut visit),
                Rule::If { condition, then, otherwise } => {
                    [condition, then, otherwise].into_iter().for_each(&mut visit);
                }
                Rule::Contains(contains) => visit(&mut contains.node),
                Rule::Unique => {}
            }
        }
        if let Some(object) = &mut self.object {
            for property in &mut object.properties {
                visit(&mut property.node);
                property.also.iter_mut().for_each(&mut visit);
            }
            object.patterns.iter_mut().for_each(|(_, node)| visit(node));
            object.names.iter_mut().for_each(&mut visit);
            object.dependents.iter_mut().flat_map(|dependent| &mut dependent.node).for_each(&mut visit);
            visit(&mut object.additional);
        }
        if let Some(array) = &mut self.array {
            array.prefix.iter_mut().for_each(&mut visit);
            array.captured.iter_mut().for_each(|item| visit(&mut item.node));
            visit(&mut array.rest);
        }
    }
}

/// Rules for strings.
#[derive(Debug, Clone, Default)]
pub(super) struct StringRules {
    /// Least and most length in code points.
    pub length: Option<(u64, u64)>,
    pub pattern: Option<Pattern>,
    pub format: Option<Format>,
}

/// Rules for numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct NumberRules {
    pub bounds: Vec<Bound>,
    pub multiple_of: Option<Divisor>,
}

/// Rules for objects.
#[derive(Debug, Clone)]
pub(super) struct ObjectRules {
    /// Every name that a rule or a capture knows.
    pub properties: Vec<Property>,
    /// Where the first key of a record is looked for first.
    pub leader: Guess,
    /// Positions in `properties` by name; empty where there are so few that a linear search is faster.
    pub sorted: Vec<u32>,
    /// Bit n: the property at n must be there.
    pub required_low: u64,
    /// The required properties from the 65th on.
    pub required_high: Vec<u32>,
    pub patterns: Vec<(Pattern, NodeId)>,
    pub additional: NodeId,
    pub names: Option<NodeId>,
    pub dependents: Vec<Dependent>,
    pub count_min: u64,
    pub count_max: u64,
}

impl Default for ObjectRules {
    fn default() -> Self {
        Self {
            properties: Vec::new(),
            leader: Guess::default(),
            sorted: Vec::new(),
            required_low: 0,
            required_high: Vec::new(),
            patterns: Vec::new(),
            additional: NodeId::ANY,
            names: None,
            dependents: Vec::new(),
            count_min: 0,
            count_max: u64::MAX,
        }
    }
}

/// Properties up to which a linear search (mostly a comparison of lengths) beats a binary one.
const LINEAR_PROPERTIES_MAX: usize = 16;

/// Where the key behind one was found last time. Records of one producer have their keys in one order, so the guess
/// is mostly right; threads share it, and write it only when it was wrong.
#[derive(Debug, Default)]
pub(super) struct Guess(AtomicU32);

impl Clone for Guess {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }
}

impl ObjectRules {
    /// The position of the property `name`. `previous` is the position of the one before it, if there was one.
    #[inline]
    pub fn find(&self, name: &str, previous: Option<usize>) -> Option<usize> {
        let guess = match previous {
            Some(previous) => &self.properties[previous].follower,
            None => &self.leader,
        };
        let guessed = guess.0.load(Ordering::Relaxed) as usize;
        if self.properties.get(guessed).is_some_and(|property| *property.name == *name) {
            return Some(guessed);
        }
        let found = self.search(name)?;
        guess.0.store(found as u32, Ordering::Relaxed);
        Some(found)
    }

    fn search(&self, name: &str) -> Option<usize> {
        if self.sorted.is_empty() {
            return self.properties.iter().position(|property| *property.name == *name);
        }
        let name_at = |&position: &u32| &*self.properties[position as usize].name;
        let place = self.sorted.binary_search_by(|position| name_at(position).cmp(name)).ok()?;
        Some(self.sorted[place] as usize)
    }

    /// The position of the property `name`, which is added if it is not there: governed by the patterns that it
    /// matches or, if there is none, by `additional`.
    pub fn ensure(&mut self, name: &str) -> usize {
        if let Some(position) = self.properties.iter().position(|property| *property.name == *name) {
            return position;
        }
        let mut governing = self.matching(name);
        let node = if governing.is_empty() { self.additional } else { governing.remove(0) };
        self.properties.push(Property {
            name: name.into(),
            node,
            also: governing,
            required: false,
            slots: Vec::new(),
            follower: Guess::default(),
        });
        self.properties.len() - 1
    }

    /// The nodes of the patterns that `name` matches.
    pub fn matching(&self, name: &str) -> Vec<NodeId> {
        let matching = self.patterns.iter().filter(|(pattern, _)| pattern.is_match(name));
        matching.map(|(_, node)| *node).collect()
    }

    /// Derives what is looked up by position. To be called when no property is added any more.
    pub fn seal(&mut self) {
        let required = self.properties.iter().enumerate().filter(|(_, property)| property.required);
        let (low, high): (Vec<_>, Vec<_>) = required.map(|(position, _)| position).partition(|&at| at < 64);
        self.required_low = low.into_iter().fold(0, |mask, position| mask | 1 << position);
        self.required_high = high.into_iter().map(|position| position as u32).collect();
        self.sorted.clear();
        if self.properties.len() > LINEAR_PROPERTIES_MAX {
            self.sorted.extend(0..self.properties.len() as u32);
            let properties = &self.properties;
            self.sorted.sort_by_key(|&position| &properties[position as usize].name);
        }
    }
}

/// A name that a rule or a capture knows.
#[derive(Debug, Clone)]
pub(super) struct Property {
    pub name: Box<str>,
    pub node: NodeId,
    /// More nodes that the value must fit (of patterns that match the name).
    pub also: Vec<NodeId>,
    pub required: bool,
    /// Capture slots of the value.
    pub slots: Vec<u32>,
    /// Where the key behind this one is looked for first.
    pub follower: Guess,
}

/// What the presence of one property asks of the others.
#[derive(Debug, Clone)]
pub(super) struct Dependent {
    /// Position of the property that triggers it.
    pub trigger: u32,
    /// Positions of the properties that must then be there.
    pub needs: Vec<u32>,
    /// What the object must then fit.
    pub node: Option<NodeId>,
}

/// Rules for arrays.
#[derive(Debug, Clone)]
pub(super) struct ArrayRules {
    /// The schemas of the first items.
    pub prefix: Vec<NodeId>,
    /// The schema of all others.
    pub rest: NodeId,
    pub count_min: u64,
    pub count_max: u64,
    /// Items below which something is captured, by ascending index. Their nodes replace those above.
    pub captured: Vec<CapturedItem>,
}

impl Default for ArrayRules {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            rest: NodeId::ANY,
            count_min: 0,
            count_max: u64::MAX,
            captured: Vec::new(),
        }
    }
}

impl ArrayRules {
    /// The schema of the item at `index`, captures aside.
    #[inline]
    pub fn item(&self, index: usize) -> NodeId {
        self.prefix.get(index).copied().unwrap_or(self.rest)
    }
}

/// An item that is captured, or below which something is.
#[derive(Debug, Clone)]
pub(super) struct CapturedItem {
    pub index: usize,
    pub node: NodeId,
    pub slots: Vec<u32>,
}

/// What is checked by reading the value again.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// `$ref` beside other keywords, `allOf`, a second pattern.
    All(NodeId),
    /// `anyOf`
    Any(Vec<NodeId>),
    /// `oneOf`
    One(Vec<NodeId>),
    /// `not`
    Not(NodeId),
    /// `if`, `then`, `else`
    If { condition: NodeId, then: NodeId, otherwise: NodeId },
    /// `contains`
    Contains(Contains),
    /// `uniqueItems`
    Unique,
}

/// `contains` with its bounds.
#[derive(Debug, Clone)]
pub(super) struct Contains {
    pub node: NodeId,
    pub count_min: u64,
    pub count_max: u64,
}
