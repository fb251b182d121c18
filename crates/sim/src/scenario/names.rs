//! What a scenario calls its nodes: `n0`, `n1`, … or as the lectures do.

use consensus_core::NodeId;

/// The names of the nodes of a scenario. A node may have several: a proposer that is an acceptor,
/// too, is `A1=P1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of each node, the one that is shown first. Empty where nodes are numbered.
    given: Vec<Vec<String>>,
}

impl Names {
    /// `n0`, `n1` and on.
    pub fn numbered() -> Self {
        Self::default()
    }

    /// Are they just numbers?
    pub fn are_numbers(&self) -> bool {
        self.given.is_empty()
    }

    /// Names one node more.
    ///
    /// # Errors
    /// If a name is taken, or looks like something else. Words of the language never begin with a
    /// capital letter, names always do.
    pub(super) fn add(&mut self, names: &str) -> Result<(), String> {
        let names: Vec<String> = names.split('=').map(str::to_owned).collect();
        for (place, name) in names.iter().enumerate() {
            let capital = name.chars().next().is_some_and(|first| first.is_ascii_uppercase());
            if !capital || !name.chars().all(|letter| letter.is_ascii_alphanumeric()) {
                let why = "begins with a capital letter, and has letters and digits only";
                return Err(format!("the name of a node {why}; found '{name}'"));
            }
            if self.find(name).is_some() || names[..place].contains(name) {
                return Err(format!("two nodes are called {name}"));
            }
        }
        self.given.push(names);
        Ok(())
    }

    /// How many nodes have names.
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Has no node a name of its own?
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The node of this name; `n0` names the first one in any case.
    pub fn find(&self, word: &str) -> Option<NodeId> {
        let named = |names: &Vec<String>| names.iter().any(|name| name == word);
        if let Some(place) = self.given.iter().position(named) {
            return u8::try_from(place).ok().map(NodeId);
        }
        let digits = word.strip_prefix('n')?;
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(NodeId)
    }

    /// What a node is called.
    pub fn of(&self, node: NodeId) -> String {
        match self.given.get(node.index()) {
            Some(names) => names[0].clone(),
            None => node.to_string(),
        }
    }

    /// All names of a node, as the header says them.
    pub(super) fn all(&self) -> impl Iterator<Item = String> {
        self.given.iter().map(|names| names.join("="))
    }

    /// The text with `n0` replaced by its name, wherever it stands alone and in no quotes; and with
    /// the first of a node's names in place of the others.
    pub fn rename(&self, text: &str) -> String {
        if self.given.is_empty() {
            return text.to_owned();
        }
        let mut renamed = String::with_capacity(text.len());
        let mut word = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for letter in text.chars() {
            if !quoted && letter.is_ascii_alphanumeric() {
                word.push(letter);
                continue;
            }
            self.flush(&mut word, &mut renamed);
            quoted ^= letter == '"' && !escaped;
            escaped = quoted && letter == '\\' && !escaped;
            renamed.push(letter);
        }
        self.flush(&mut word, &mut renamed);
        renamed
    }

    fn flush(&self, word: &mut String, out: &mut String) {
        match self.find(word).filter(|node| node.index() < self.given.len()) {
            Some(node) => out.push_str(&self.of(node)),
            None => out.push_str(word),
        }
        word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Names {
        let mut names = Names::numbered();
        for name in ["A1=P1", "A2", "A3"] {
            names.add(name).expect("a good name");
        }
        names
    }

    #[test]
    fn a_node_is_found_by_each_of_its_names_and_by_its_number() {
        let names = some();
        for word in ["A1", "P1", "n0"] {
            assert_eq!(names.find(word), Some(NodeId(0)));
        }
        assert_eq!((names.find("P2"), names.of(NodeId(2))), (None, "A3".to_owned()));
        assert_eq!(names.of(NodeId(7)), "n7");
    }

    #[test]
    fn only_words_that_stand_alone_are_renamed() {
        let text = some().rename("n0 -> n1, \"n0 \\\" n1\" n17 on0 5.n2 n9");
        assert_eq!(text, "A1 -> A2, \"n0 \\\" n1\" n17 on0 5.A3 n9");
        assert_eq!(some().rename("1.P1 \"P1\""), "1.A1 \"P1\"");
    }

    #[test]
    fn a_name_is_refused_that_could_be_taken_for_another_word() {
        for bad in ["a1", "A1", "P1", "", "A-1", "B=B", "B="] {
            assert!(some().add(bad).is_err(), "{bad}");
        }
    }
}
