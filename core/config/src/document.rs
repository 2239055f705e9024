//! A YAML or JSON document as nodes that know their position. It does not interpret them.

use std::collections::HashMap;

use keystart_store::json::MAX_DEPTH;

use crate::problem::{Position, Problems};
use crate::shown::characters;

/// A text as it was written. Without quotes it is plain, and may mean something other than text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub text: String,
    pub is_plain: bool,
    pub position: Position,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub items: Vec<Node>,
    pub position: Position,
}

/// The keys differ.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub members: Vec<(Scalar, Node)>,
    pub position: Position,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Scalar(Scalar),
    Sequence(Sequence),
    Mapping(Mapping),
}

impl Node {
    pub fn position(&self) -> Position {
        match self {
            Self::Scalar(scalar) => scalar.position,
            Self::Sequence(sequence) => sequence.position,
            Self::Mapping(mapping) => mapping.position,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(scalar) if scalar.is_plain && scalar.text == "null")
    }
}

impl Mapping {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|(_, value)| value)
    }

    /// Returns a key and its value. A value that is spelled `null` counts as not given: Terraform and
    /// others write it for everything that was left out. An empty value is probably a mistake, and counts.
    pub fn member(&self, key: &str) -> Option<(&Scalar, &Node)> {
        self.named(key).filter(|(_, value)| !value.is_null())
    }

    /// Returns a key and its value, even if that is `null`.
    pub fn named(&self, key: &str) -> Option<(&Scalar, &Node)> {
        self.members.iter().find(|member| member.0.text == key).map(|(key, value)| (key, value))
    }
}

/// Lists and mappings are nested deeper than a document may have them.
pub(crate) struct DepthError;

impl DepthError {
    pub fn message() -> String {
        format!("More than {MAX_DEPTH} lists and mappings are inside each other.")
    }
}

/// Builds a document from its parts in their order.
pub(crate) struct Builder {
    open: Vec<OpenNode>,
    root: Option<Node>,
}

/// A list or mapping whose end has not been read yet.
struct OpenNode {
    is_mapping: bool,
    position: Position,
    nodes: Vec<Node>,
}

impl Builder {
    pub fn new() -> Self {
        Self { open: Vec::new(), root: None }
    }

    pub fn begin(&mut self, is_mapping: bool, position: Position) -> Result<(), DepthError> {
        // It also bounds every recursion over nodes.
        if self.open.len() == MAX_DEPTH {
            return Err(DepthError);
        }
        self.open.push(OpenNode { is_mapping, position, nodes: Vec::new() });
        Ok(())
    }

    pub fn end(&mut self, problems: &mut Problems) {
        let Some(OpenNode { is_mapping, position, nodes }) = self.open.pop() else {
            return;
        };
        self.add(if is_mapping {
            Node::Mapping(Mapping { members: members(nodes, problems), position })
        } else {
            Node::Sequence(Sequence { items: nodes, position })
        });
    }

    pub fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.root = Some(node),
        }
    }

    pub fn scalar(&mut self, text: impl Into<String>, is_plain: bool, position: Position) {
        self.add(Node::Scalar(Scalar { text: text.into(), is_plain, position }));
    }

    /// Returns the document. One that holds only comments is the same as `null`.
    pub fn root(self) -> Node {
        let nothing = || Node::Scalar(Scalar { text: String::new(), is_plain: true, position: Position::START });
        self.root.unwrap_or_else(nothing)
    }
}

fn members(nodes: Vec<Node>, problems: &mut Problems) -> Vec<(Scalar, Node)> {
    let mut members: Vec<(Scalar, Node)> = Vec::new();
    let mut places: HashMap<String, Position> = HashMap::new();
    let mut nodes = nodes.into_iter();
    while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
        let key = match key {
            Node::Scalar(key) => key,
            other => {
                problems.add("A key must be text, not a list or a mapping.", other.position());
                continue;
            }
        };
        if key.is_plain && key.text == "<<" {
            problems.add("The merge key << is not followed. Write the members out.", key.position);
        } else if let Some(first) = places.get(&key.text) {
            problems.add(
                format!(
                    "This key of {} is here for the second time; the first is at {first}. Remove one of them.",
                    characters(&key.text)
                ),
                key.position,
            );
        } else {
            places.insert(key.text.clone(), key.position);
            members.push((key, value));
        }
    }
    members
}
