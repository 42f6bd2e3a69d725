//! A small map that takes little room: a hundred thousand instances each have two or three, of a few pairs. A sorted slice;
//! it reads like a map and is written to files like one.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::Key;

/// Values by name, in the order of the names, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs<V>(Box<[(Key, V)]>);

impl<V> Pairs<V> {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&V> {
        let at = self.0.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The names.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.0.iter().map(|(key, _)| key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a value; costs as much as there are.
    pub fn insert(&mut self, name: Key, value: V) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        match all.binary_search_by(|(key, _)| key.cmp(&name)) {
            Ok(at) => all[at].1 = value,
            Err(at) => all.insert(at, (name, value)),
        }
        self.0 = all.into();
    }

    /// Puts other texts in the place of these, which must read the same.
    pub(super) fn share(&mut self, mut share: impl FnMut(&mut Key, &mut V)) {
        for (name, value) in &mut self.0 {
            share(name, value);
        }
    }
}

impl<V> Default for Pairs<V> {
    fn default() -> Pairs<V> {
        Pairs(Box::default())
    }
}

/// Of a name that comes twice, the last.
impl<K: Into<Key>, V> FromIterator<(K, V)> for Pairs<V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Pairs<V> {
        let sorted: BTreeMap<Key, V> = pairs.into_iter().map(|(k, v)| (k.into(), v)).collect();
        Pairs(sorted.into_iter().collect())
    }
}

impl From<BTreeMap<String, String>> for Pairs<Key> {
    fn from(map: BTreeMap<String, String>) -> Pairs<Key> {
        Pairs(map.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl<V> Index<&str> for Pairs<V> {
    type Output = V;

    /// # Panics
    /// If there is no such name.
    fn index(&self, name: &str) -> &V {
        self.get(name).expect("the caller says that it is there")
    }
}

impl<V: Serialize> Serialize for Pairs<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<V>, D::Error> {
        let map = BTreeMap::<Key, V>::deserialize(deserializer)?;
        Ok(Pairs(map.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut pairs: Pairs<i32> = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
        pairs.insert("c".into(), 4);
        pairs.insert("a".into(), 5);
        let all: Vec<(&str, i32)> = pairs.iter().map(|(k, v)| (&**k, *v)).collect();
        assert_eq!(all, [("a", 5), ("b", 3), ("c", 4)]);
        assert_eq!(
            (pairs.get("b"), pairs.get("x"), pairs["c"]),
            (Some(&3), None, 4)
        );
        let text = serde_json::to_string(&pairs).expect("JSON");
        assert_eq!(text, r#"{"a":5,"b":3,"c":4}"#);
        assert_eq!(
            serde_json::from_str::<Pairs<i32>>(&text).expect("a map"),
            pairs
        );
    }
}
