// What RocksDB's C interface does not offer: to ask more of the file system than RocksDB does, and to stop
// at errors.

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

/// Databases opened with these options do not go on by themselves after an error. RocksDB would try to, in
/// a thread of its own: whoever writes has given up by then, and after a manifest that could not be written
/// for lack of room that thread ends the process (an assertion of RocksDB 7.8).
void gd_stop_at_errors(rocksdb_options_t *options);

#ifdef __cplusplus
}
#endif

#endif
