//! From text to a tree. Precedence: `or` weakest, then `and`, then `not`; parentheses; then one comparison. Errors say
//! how far the text made sense. It does not know which selectors exist.

mod words;

/// How deep parentheses and `not` may be nested: enough for any hand or generator, little for the stack.
const DEEPEST: usize = 100;
/// The longest expression taken, in bytes.
const LONGEST: usize = 64 * 1024;

/// A tree of comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Or(Vec<Tree>),
    And(Vec<Tree>),
    Not(Box<Tree>),
    Match(Match),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) selector: Vec<String>,
    pub(super) operator: Operator,
    /// Empty for the operators that take none.
    pub(super) value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    Empty,
    NotEmpty,
    Matches,
    NotMatches,
}

impl Operator {
    /// Consul's name for it in errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Operator::Equal => "Equal",
            Operator::NotEqual => "Not Equal",
            Operator::In => "In",
            Operator::NotIn => "Not In",
            Operator::Empty => "Is Empty",
            Operator::NotEmpty => "Is Not Empty",
            Operator::Matches => "Matches",
            Operator::NotMatches => "Not Matches",
        }
    }
}

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    if text.len() > LONGEST {
        return Err(format!("the expression is longer than {LONGEST} bytes"));
    }
    let mut parser = Parser {
        text,
        at: 0,
        furthest: 0,
        depth: 0,
        fault: None,
    };
    parser.blank();
    let tree = parser.or();
    parser.blank();
    match tree {
        Some(tree) if parser.at == text.len() && parser.fault.is_none() => Ok(tree),
        _ => Err(parser.error()),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The furthest place at which something was looked for in vain.
    furthest: usize,
    depth: usize,
    /// An error that no other reading can mend.
    fault: Option<(usize, &'static str)>,
}

impl Parser<'_> {
    fn error(&self) -> String {
        let (at, what) = match self.fault {
            Some((at, what)) => (at, what),
            None => (self.furthest.max(self.at), "no match found"),
        };
        format!("1:{} ({at}): {what}", at + 1)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn fail<T>(&mut self) -> Option<T> {
        self.furthest = self.furthest.max(self.at);
        None
    }

    fn fault<T>(&mut self, at: usize, what: &'static str) -> Option<T> {
        self.fault.get_or_insert((at, what));
        None
    }

    /// Runs `read`; if it finds nothing, the place is as before.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.at;
        let found = if self.fault.is_none() {
            read(self)
        } else {
            None
        };
        if found.is_none() {
            self.at = before;
        }
        found
    }

    fn blank(&mut self) -> bool {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let blanks = rest.len() - trimmed.len();
        self.at += blanks;
        blanks > 0
    }

    fn token(&mut self, token: &str) -> Option<()> {
        if self.rest().starts_with(token) {
            self.at += token.len();
            return Some(());
        }
        self.fail()
    }

    /// Words, each with blanks before it, and blanks after the last if `open`.
    fn words(&mut self, words: &[&str], open: bool) -> Option<()> {
        self.attempt(|p| {
            for word in words {
                if !p.blank() {
                    return p.fail();
                }
                p.token(word)?;
            }
            if open && !p.blank() {
                return p.fail();
            }
            Some(())
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEEPEST {
            return self.fault(self.at, "nested too deep");
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// `a or b or c`; flat, so that a long chain needs no stack.
    fn or(&mut self) -> Option<Tree> {
        let mut parts = vec![self.and()?];
        while self.words(&["or"], true).is_some() {
            parts.push(self.and()?);
        }
        Some(Tree::Or(parts))
    }

    fn and(&mut self) -> Option<Tree> {
        let mut parts = vec![self.not()?];
        while self.words(&["and"], true).is_some() {
            parts.push(self.not()?);
        }
        Some(Tree::And(parts))
    }

    fn not(&mut self) -> Option<Tree> {
        let negated = self.attempt(|p| {
            p.token("not")?;
            if !p.blank() {
                return p.fail();
            }
            p.deeper(Self::not)
        });
        match negated {
            Some(tree) => Some(Tree::Not(Box::new(tree))),
            None => self.parenthesized(),
        }
    }

    fn parenthesized(&mut self) -> Option<Tree> {
        if self.rest().starts_with('(') {
            return self.attempt(|p| {
                p.token("(")?;
                p.blank();
                let tree = p.deeper(Self::or)?;
                p.blank();
                p.token(")")?;
                Some(tree)
            });
        }
        let found = self.attempt(Self::selector_first);
        let found = match found {
            Some(found) => Some(found),
            None => self.attempt(Self::value_first),
        };
        found.map(Tree::Match)
    }

    fn selector_first(&mut self) -> Option<Match> {
        let selector = self.selector()?;
        if self.words(&["is", "empty"], false).is_some() {
            return Some(no_value(selector, Operator::Empty));
        }
        if self.words(&["is", "not", "empty"], false).is_some() {
            return Some(no_value(selector, Operator::NotEmpty));
        }
        let operator = self.operator()?;
        let value = self.value()?;
        Some(Match {
            selector,
            operator,
            value,
        })
    }

    fn operator(&mut self) -> Option<Operator> {
        for (sign, operator) in [("==", Operator::Equal), ("!=", Operator::NotEqual)] {
            let found = self.attempt(|p| {
                p.blank();
                p.token(sign)?;
                p.blank();
                Some(operator)
            });
            if found.is_some() {
                return found;
            }
        }
        let spelled: [(&[&str], Operator); 4] = [
            (&["contains"], Operator::In),
            (&["not", "contains"], Operator::NotIn),
            (&["matches"], Operator::Matches),
            (&["not", "matches"], Operator::NotMatches),
        ];
        for (words, operator) in spelled {
            if self.words(words, true).is_some() {
                return Some(operator);
            }
        }
        None
    }

    fn value_first(&mut self) -> Option<Match> {
        let value = self.value()?;
        let operator = if self.words(&["in"], true).is_some() {
            Operator::In
        } else {
            self.words(&["not", "in"], true)?;
            Operator::NotIn
        };
        let start = self.at;
        match self.attempt(Self::selector) {
            Some(selector) => Some(Match {
                selector,
                operator,
                value,
            }),
            None => self.fault(start, "rule \"match\": Invalid selector"),
        }
    }
}

fn no_value(selector: Vec<String>, operator: Operator) -> Match {
    Match {
        selector,
        operator,
        value: String::new(),
    }
}
