// What GradDB asks of a file system below RocksDB, where RocksDB itself asks for too little.

#ifndef GRADDB_ROCKS_FILES_H
#define GRADDB_ROCKS_FILES_H

#include <rocksdb/c.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Databases opened with these options keep two things in order that RocksDB does not, for file systems
/// that keep none of what is not synced, or any of it:
///
/// - Before CURRENT names a manifest, the manifest's own name is on the disk. RocksDB syncs the directory
///   only afterwards: a power failure in between may leave a CURRENT whose manifest is gone.
/// - What is added to a manifest reaches the disk from its beginning on. RocksDB syncs all of it at once:
///   a power failure may leave its last sectors without its first, which RocksDB takes for damage.
///
/// Neither can be opened any more.
void gd_keep_files_in_order(rocksdb_options_t *options);

#ifdef __cplusplus
}
#endif

#endif
