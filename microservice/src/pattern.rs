//! Path patterns such as `/users/{id}/posts`: reading them, and matching a path's segments.
//!
//! Pure. Knows neither methods nor handlers, and gets segments that are already decoded.

use std::cmp::Ordering;

/// Segments in one pattern, at most; a longer path in a request matches nothing.
pub const SEGMENTS_MAX: usize = 32;

/// Parameters in one pattern, at most: more than this wants a query or a body.
pub const PARAMS_MAX: usize = 8;

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not begin with a slash.
    #[error("a pattern begins with a slash")]
    NoSlash,
    /// Two slashes in a row, or one at the end.
    #[error("a segment is empty (no double slash, no slash at the end)")]
    EmptySegment,
    /// A brace that is not part of a parameter filling its segment.
    #[error("segment {0:?}: a parameter is a whole segment, as in /users/{{id}}")]
    Braces(String),
    /// A parameter's name that is not a word.
    #[error("parameter {0:?}: a name has letters, digits and _, and begins with no digit")]
    Name(String),
    /// Two parameters of the same name.
    #[error("parameter {0:?} comes twice")]
    SameName(String),
    /// A character that cannot be part of a path.
    #[error("segment {0:?}: spaces, ? and # cannot be part of a path")]
    Character(String),
    /// More than [`SEGMENTS_MAX`] segments or [`PARAMS_MAX`] parameters.
    #[error("at most {SEGMENTS_MAX} segments and {PARAMS_MAX} parameters are allowed")]
    TooLong,
}

/// A pattern that is right.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    template: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Param(String),
}

impl Pattern {
    pub(crate) fn parse(template: &str) -> Result<Self, PatternError> {
        let rest = template.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let mut segments = Vec::new();
        if !rest.is_empty() {
            for text in rest.split('/') {
                let segment = Segment::parse(text)?;
                if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
                    return Err(PatternError::SameName(segment.text().to_owned()));
                }
                segments.push(segment);
            }
        }
        let params = segments
            .iter()
            .filter(|s| matches!(s, Segment::Param(_)))
            .count();
        if segments.len() > SEGMENTS_MAX || params > PARAMS_MAX {
            return Err(PatternError::TooLong);
        }
        Ok(Self {
            template: template.to_owned(),
            segments,
        })
    }

    /// As it was written.
    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// The values of the parameters, with their names, if the path matches.
    pub(crate) fn matches(&self, path: &[String]) -> Option<Vec<(String, String)>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut params = Vec::new();
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Param(name) if !text.is_empty() => {
                    params.push((name.clone(), text.clone()));
                }
                _ => return None,
            }
        }
        Some(params)
    }

    /// Which of two patterns is asked first when both match a path: from the left, the one with
    /// the literal segment. `Equal` means that they match exactly the same paths.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        let ranks = |pattern: &Self| -> Vec<(bool, String)> {
            let rank = |segment: &Segment| match segment {
                Segment::Literal(text) => (false, text.clone()),
                Segment::Param(_) => (true, String::new()),
            };
            pattern.segments.iter().map(rank).collect()
        };
        ranks(self).cmp(&ranks(other))
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::EmptySegment);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) {
            return Err(PatternError::Character(text.to_owned()));
        }
        if let Some(name) = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        {
            return if is_word(name) {
                Ok(Self::Param(name.to_owned()))
            } else {
                Err(PatternError::Name(name.to_owned()))
            };
        }
        if text.contains(['{', '}']) {
            return Err(PatternError::Braces(text.to_owned()));
        }
        Ok(Self::Literal(text.to_owned()))
    }

    fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Param(text) => text,
        }
    }
}

fn is_word(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[&str]) -> Option<String> {
        let path: Vec<String> = path.iter().map(|&segment| segment.to_owned()).collect();
        let params = Pattern::parse(pattern)
            .expect("a good pattern")
            .matches(&path)?;
        let params: Vec<String> = params
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Some(params.join(","))
    }

    #[test]
    fn a_pattern_matches_whole_paths() {
        assert_eq!(matches("/", &[]).as_deref(), Some(""));
        assert_eq!(matches("/", &[""]), None);
        assert_eq!(matches("/a/b", &["a", "b"]).as_deref(), Some(""));
        assert_eq!(matches("/a/b", &["a"]), None);
        assert_eq!(matches("/a/b", &["a", "b", "c"]), None);
        assert_eq!(matches("/a", &["A"]), None);
    }

    #[test]
    fn a_parameter_takes_one_segment_that_is_not_empty() {
        assert_eq!(
            matches("/sleep/{ms}", &["sleep", "5"]).as_deref(),
            Some("ms=5")
        );
        assert_eq!(
            matches("/{a}/{b}", &["1", "x/y"]).as_deref(),
            Some("a=1,b=x/y")
        );
        assert_eq!(matches("/sleep/{ms}", &["sleep", ""]), None);
        assert_eq!(matches("/sleep/{ms}", &["sleep", "5", "6"]), None);
    }

    #[test]
    fn malformed_patterns_say_what_is_wrong() {
        let table = [
            ("", PatternError::NoSlash),
            ("a/b", PatternError::NoSlash),
            ("//", PatternError::EmptySegment),
            ("/a//b", PatternError::EmptySegment),
            ("/a/", PatternError::EmptySegment),
            ("/{id", PatternError::Braces("{id".into())),
            ("/id}", PatternError::Braces("id}".into())),
            ("/v{id}", PatternError::Braces("v{id}".into())),
            ("/{}", PatternError::Name("".into())),
            ("/{a b}", PatternError::Character("{a b}".into())),
            ("/{1a}", PatternError::Name("1a".into())),
            ("/{a{b}}", PatternError::Name("a{b}".into())),
            ("/{a}/x/{a}", PatternError::SameName("a".into())),
            ("/a?b", PatternError::Character("a?b".into())),
        ];
        for (pattern, wanted) in table {
            assert_eq!(Pattern::parse(pattern).err(), Some(wanted), "{pattern:?}");
        }
        let long = "/a".repeat(SEGMENTS_MAX + 1);
        assert_eq!(Pattern::parse(&long).err(), Some(PatternError::TooLong));
        assert!(Pattern::parse(&"/a".repeat(SEGMENTS_MAX)).is_ok());
        let params: String = (0..=PARAMS_MAX).map(|n| format!("/{{p{n}}}")).collect();
        assert_eq!(Pattern::parse(&params).err(), Some(PatternError::TooLong));
    }

    #[test]
    fn literals_come_before_parameters_from_the_left() {
        let order = |a, b| {
            let parse = |text| Pattern::parse(text).expect("a good pattern");
            parse(a).precedence(&parse(b))
        };
        assert_eq!(order("/users/me", "/users/{id}"), Ordering::Less);
        assert_eq!(order("/{a}/x", "/y/{b}"), Ordering::Greater);
        assert_eq!(order("/users/{id}", "/users/{name}"), Ordering::Equal);
        assert_eq!(order("/a", "/a"), Ordering::Equal);
    }
}
