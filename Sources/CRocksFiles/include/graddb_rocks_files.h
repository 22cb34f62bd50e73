// What GradDB asks of a file system below RocksDB, where RocksDB itself asks for too little.

#ifndef GRADDB_ROCKS_FILES_H
#define GRADDB_ROCKS_FILES_H

#include <rocksdb/c.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Databases opened with these options keep the directory's names in order: before CURRENT names a
/// manifest, the manifest's own name is on the disk. RocksDB syncs the directory only afterwards, so
/// that on a file system that does not keep the order of names a power failure in between may leave a
/// CURRENT whose manifest is gone, and the database does not open any more.
void gd_keep_current_after_manifest(rocksdb_options_t *options);

#ifdef __cplusplus
}
#endif

#endif
