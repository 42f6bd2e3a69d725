//! Users and groups by name: from `/etc/passwd` and `/etc/group`, or by number.

use std::path::Path;

/// The number of a user.
///
/// # Errors
/// Nobody has that name.
pub(in crate::template) fn user_id(name: &str) -> Result<u32, String> {
    id(name, Path::new("/etc/passwd"), "user")
}

/// The number of a group.
///
/// # Errors
/// None has that name.
pub(in crate::template) fn group_id(name: &str) -> Result<u32, String> {
    id(name, Path::new("/etc/group"), "group")
}

/// Both files have the name first and the number third (passwd(5), group(5)).
fn id(name: &str, file: &Path, what: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let mut fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.find(|fields| fields.first() == Some(&name));
    found
        .and_then(|fields| fields.get(2)?.parse().ok())
        .ok_or_else(|| {
            format!(
                "expected a {what} of {} or a number, found {name:?}",
                file.display()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(user_id("root"), Ok(0));
        assert_eq!(group_id("root"), Ok(0));
        assert_eq!(user_id("4711"), Ok(4711));
        assert!(user_id("no such user").is_err());
    }
}
