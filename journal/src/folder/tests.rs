//! A folder in use, closed, opened again, and with nonsense in it.

use super::*;

type Pieces = Vec<Vec<u8>>;

fn open(path: &Path) -> Result<(Folder, Pieces), Error> {
    let mut pieces = Vec::new();
    let folder = Folder::open(path, || Ok(b"new".to_vec()), &mut |piece| {
        let (Piece::State(contents) | Piece::Change { contents, .. }) = piece;
        pieces.push(contents.to_vec());
        if contents == b"nonsense" {
            return Err("it makes no sense".to_owned());
        }
        Ok(())
    })?;
    Ok((folder, pieces))
}

fn append(folder: &mut Folder, changes: &[&[u8]]) {
    let mut batch = Vec::new();
    for change in changes {
        assert!(folder.frame(&mut batch, &[change]));
    }
    folder.append(&batch).expect("the disk takes it");
}

#[test]
fn what_was_appended_comes_back_until_a_new_state_takes_its_place() {
    let place = tempfile::tempdir().expect("a folder");
    let (mut folder, pieces) = open(place.path()).expect("it is new");
    assert_eq!(pieces, [b"new"]);
    append(&mut folder, &[b"a", b"b"]);
    assert!(
        matches!(open(place.path()), Err(Error::InUse { .. })),
        "it is locked"
    );
    drop(folder);
    let (mut folder, pieces) = open(place.path()).expect("it is whole");
    assert_eq!(pieces, [&b"new"[..], b"a", b"b"]);
    folder.next_generation(b"all").expect("the disk takes it");
    assert!(folder.is_log_empty());
    append(&mut folder, &[b"c"]);
    drop(folder);
    assert_eq!(
        open(place.path()).expect("it is whole").1,
        [&b"all"[..], b"c"]
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_name_and_place() {
    let place = tempfile::tempdir().expect("a folder");
    let (mut folder, _) = open(place.path()).expect("it is new");
    append(&mut folder, &[b"a", b"nonsense"]);
    let path = folder.log_path();
    drop(folder);
    let error = open(place.path()).expect_err("nonsense").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains("at byte 37: it makes no sense"), "{error}");
}
