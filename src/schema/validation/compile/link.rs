//! What can be said of the nodes only when all are there.

use std::collections::BTreeMap;

use super::super::error::{SchemaError, shown};
use super::super::node::NodeId;
use super::{Bail, Nodes};

/// Schemas that look at one value one inside the other (`$ref` in `allOf` in `if` …). The checker recurses once for
/// each of them and each level of a record: 128 levels × 8 × about 0.5 KiB is 0.5 MiB of a thread's stack.
const IN_PLACE_DEPTH_MAX: u32 = 8;

/// Shortens references to references, refuses circles, and derives what is looked up by position.
pub(super) fn link(mut nodes: Nodes, pointers: &BTreeMap<NodeId, String>) -> Result<Nodes, Bail> {
    let edges: Vec<Vec<NodeId>> = nodes
        .list
        .iter()
        .map(|node| {
            let mut edges = Vec::new();
            node.in_place(|target| edges.push(target));
            edges
        })
        .collect();
    if let Some(id) = find_circle(&edges) {
        let pointer = pointers.get(&id).map_or_else(String::new, |pointer| shown(pointer));
        return Err(Bail::Error(SchemaError::Circular { pointer }));
    }
    let aliases: Vec<Option<NodeId>> = nodes.list.iter().map(|node| node.alias()).collect();
    let resolve = |id: &mut NodeId| {
        while let Some(target) = aliases[id.index()] {
            *id = target;
        }
    };
    resolve(&mut nodes.root);
    for node in &mut nodes.list {
        node.references_mut(resolve);
    }
    // The chains that aliases shortened count in full: that errs on the side of the fallback.
    if depth(&edges) > IN_PLACE_DEPTH_MAX {
        return Err(Bail::Fallback(format!(
            "more than {IN_PLACE_DEPTH_MAX} schemas within each other for one value"
        )));
    }
    Ok(nodes)
}

/// A node from which in-place references lead back to it.
fn find_circle(edges: &[Vec<NodeId>]) -> Option<NodeId> {
    // Kahn's algorithm from the ends: what is never freed of its references leads to a circle.
    let mut outgoing: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut sources = vec![Vec::new(); edges.len()];
    for (source, targets) in edges.iter().enumerate() {
        targets.iter().for_each(|target| sources[target.index()].push(source));
    }
    let mut free: Vec<usize> = (0..edges.len()).filter(|&index| outgoing[index] == 0).collect();
    while let Some(index) = free.pop() {
        for &source in &sources[index] {
            outgoing[source] -= 1;
            if outgoing[source] == 0 {
                free.push(source);
            }
        }
    }
    // Each node left has a successor that is left too: after as many steps as there are nodes, the circle is reached.
    let mut at = (0..edges.len()).find(|&index| outgoing[index] > 0)?;
    for _ in 0..edges.len() {
        at = edges[at].iter().map(|target| target.index()).find(|&target| outgoing[target] > 0)?;
    }
    Some(NodeId(at as u32))
}

/// The longest chain of in-place references, of which there is no circle.
fn depth(edges: &[Vec<NodeId>]) -> u32 {
    let mut depths = vec![0u32; edges.len()];
    // One round lengthens every chain by at most one; no more rounds than the limit matter.
    for _ in 0..=IN_PLACE_DEPTH_MAX {
        for (index, targets) in edges.iter().enumerate() {
            let below = targets.iter().map(|target| depths[target.index()] + 1).max();
            depths[index] = depths[index].max(below.unwrap_or(0));
        }
    }
    depths.into_iter().max().unwrap_or(0)
}
