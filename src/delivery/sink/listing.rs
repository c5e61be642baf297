//! What lies below a folder of a sink, folder by folder.

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use super::error::{FolderError, SinkError, SinkErrorClass};
use crate::runtime::disk::Disk;

/// Keys below a sink's folder, and the bytes of each.
pub type Listed = Vec<(String, u64)>;

/// Everything below `folder` (of the sink's `root`) in a store.
pub async fn of_store(
    store: &Arc<dyn ObjectStore>,
    root: &Path,
    folder: &str,
    objects_max: usize,
) -> Result<Listed, SinkError> {
    let begin = match root.as_ref() {
        "" => folder.to_owned(),
        root => format!("{root}/{folder}"),
    };
    let begin = Path::parse(begin.trim_end_matches('/')).map_err(object_store::Error::from)?;
    let mut listed = Listed::new();
    let mut folders = vec![begin];
    while let Some(folder) = folders.pop() {
        let prefix = Some(&folder).filter(|folder| !folder.as_ref().is_empty());
        let found = store.list_with_delimiter(prefix).await?;
        for object in found.objects {
            let key = object.location.as_ref();
            let below = key.strip_prefix(root.as_ref()).unwrap_or(key).trim_start_matches('/');
            listed.push((below.to_owned(), object.size));
        }
        folders.extend(found.common_prefixes);
        bounded(listed.len() + folders.len(), objects_max)?;
    }
    Ok(listed)
}

/// Everything below `folder` (of the sink's `root`) on a disk. What is hidden is left out: it is being written.
pub fn of_disk(
    disk: &dyn Disk,
    root: &FilePath,
    folder: &str,
    objects_max: usize,
) -> Result<Listed, SinkError> {
    let mut listed = Listed::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let paths = match disk.list(&folder) {
            Ok(paths) => paths,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                if let Some(found) = file(disk, root, &folder)? {
                    listed.push(found);
                }
                continue;
            }
            Err(source) => return Err(FolderError { step: "list", path: folder, source }.into()),
        };
        let is_hidden =
            |path: &FilePath| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        folders.extend(paths.into_iter().filter(|path| !is_hidden(path)));
        bounded(listed.len() + folders.len(), objects_max)?;
    }
    Ok(listed)
}

fn file(disk: &dyn Disk, root: &FilePath, path: &FilePath) -> Result<Option<(String, u64)>, SinkError> {
    let failed = |source| FolderError { step: "read the size of", path: path.to_owned(), source };
    let bytes = match disk.open(path) {
        // It was taken away in between.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.and_then(|file| file.len()).map_err(failed)?,
    };
    let key = path.strip_prefix(root).ok().and_then(FilePath::to_str);
    // A name that is no UTF-8 is none of ours.
    Ok(key.map(|key| (key.to_owned(), bytes)))
}

fn bounded(count: usize, objects_max: usize) -> Result<(), SinkError> {
    if count <= objects_max {
        return Ok(());
    }
    let what = format!("there are more than {objects_max} objects: move old ones away");
    Err(SinkError::new(SinkErrorClass::Other, what))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;
    use crate::runtime::disk::RealDisk;

    fn sorted(mut listed: Listed) -> Listed {
        listed.sort_unstable();
        listed
    }

    #[tokio::test]
    async fn a_store_and_a_folder_list_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for (key, content) in [("errors/a/1.gz", "x"), ("errors/b/c/2.gz", "xyz"), ("dt=1/3.gz", "")] {
            store.put(&Path::from(format!("lake/{key}")), PutPayload::from(content)).await.unwrap();
            let path = folder.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::write(folder.path().join("errors/a/.forebay-1.tmp"), "").unwrap();
        let all = [("dt=1/3.gz", 0), ("errors/a/1.gz", 1), ("errors/b/c/2.gz", 3)];
        let all = all.map(|(key, bytes)| (key.to_owned(), bytes));
        for (below, expected) in [("errors/", &all[1..]), ("", &all[..]), ("nothing/", &[])] {
            let stored = of_store(&store, &Path::from("lake"), below, 9).await.unwrap();
            assert_eq!(sorted(stored), expected, "{below}");
            assert_eq!(sorted(of_disk(&RealDisk, folder.path(), below, 9).unwrap()), expected, "{below}");
        }
        assert!(of_store(&store, &Path::from("lake"), "", 1).await.is_err(), "more than there may be");
        assert!(of_disk(&RealDisk, folder.path(), "", 1).is_err());
    }
}
