//! Captures: fields whose place in the record is wanted, woven into the nodes.

use std::collections::BTreeMap;

use super::super::node::{ArrayRules, CapturedItem, NodeId, ObjectRules};
use super::Nodes;
use crate::config::limits::JSON_DEPTH_MAX;
use crate::json::Pointer;

/// Pointers by their first names.
#[derive(Default)]
struct Branch<'p> {
    slots: Vec<u32>,
    below: BTreeMap<&'p str, Branch<'p>>,
}

/// Makes the walk from the root capture every field that a pointer names; its slot is the pointer's place in the
/// list. Only nodes on the way to a field are copied, so that what is reached in another way captures nothing.
pub(in super::super) fn attach(nodes: &mut Nodes, captures: &[Pointer]) {
    let mut trunk = Branch::default();
    // No record is nested deeper, so a longer pointer never finds anything.
    let reachable = |pointer: &Pointer| pointer.tokens().len() <= JSON_DEPTH_MAX;
    for (slot, pointer) in captures.iter().enumerate().filter(|(_, pointer)| reachable(pointer)) {
        let mut branch = &mut trunk;
        for token in pointer.tokens() {
            branch = branch.below.entry(token).or_default();
        }
        branch.slots.push(slot as u32);
    }
    nodes.root = attach_below(nodes, nodes.root, &trunk);
    for node in &mut nodes.list {
        if let Some(object) = &mut node.object {
            object.seal();
        }
        node.rescans =
            !node.rules.is_empty() || node.values.as_ref().is_some_and(|values| !values.trees.is_empty());
    }
}

/// The node to use in place of `id` where `branch` is wanted. Recursion is as deep as the longest pointer.
fn attach_below(nodes: &mut Nodes, id: NodeId, branch: &Branch<'_>) -> NodeId {
    if branch.below.is_empty() {
        return id;
    }
    let mut node = nodes.list[id.index()].clone();
    let object = node.object.get_or_insert_with(|| Box::new(ObjectRules::default()));
    for (name, below) in &branch.below {
        let position = object.ensure(name);
        object.properties[position].node = attach_below(nodes, object.properties[position].node, below);
        object.properties[position].slots = below.slots.clone();
    }
    let mut items: Vec<_> =
        branch.below.iter().filter_map(|(name, below)| Some((array_index(name)?, below))).collect();
    items.sort_by_key(|(index, _)| *index);
    if !items.is_empty() {
        let array = node.array.get_or_insert_with(|| Box::new(ArrayRules::default()));
        for (index, below) in items {
            let child = attach_below(nodes, array.item(index), below);
            array.captured.push(CapturedItem { index, node: child, slots: below.slots.clone() });
        }
    }
    nodes.list.push(node);
    NodeId(nodes.list.len() as u32 - 1)
}

/// An array index of RFC 6901: digits without a leading zero.
fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { token.parse().ok() } else { None }
}
