// RocksDB's C interface has no way to stand between RocksDB and the files, its C++ interface has one.

#include "graddb_rocks_files.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <memory>
#include <string>

// RocksDB's own: the C interface hands it out and keeps what is in it to itself.
struct rocksdb_env_t {
    rocksdb::Env *rep;
    bool is_default;
};

namespace {

class OrderedFiles : public rocksdb::FileSystemWrapper {
  public:
    using FileSystemWrapper::FileSystemWrapper;

    const char *Name() const override { return "OrderedFiles"; }

    rocksdb::IOStatus RenameFile(const std::string &source, const std::string &target,
                                 const rocksdb::IOOptions &options,
                                 rocksdb::IODebugContext *debug) override {
        const auto slash = target.rfind('/');
        if (slash != std::string::npos && target.compare(slash, std::string::npos, "/CURRENT") == 0) {
            std::unique_ptr<rocksdb::FSDirectory> directory;
            auto status = NewDirectory(target.substr(0, slash), options, &directory, debug);
            if (status.ok()) status = directory->Fsync(options, debug);
            if (!status.ok()) return status;
        }
        return FileSystemWrapper::RenameFile(source, target, options, debug);
    }
};

} // namespace

void gd_keep_current_after_manifest(rocksdb_options_t *options) {
    // For all databases of the process and as long as it lives, as RocksDB's own.
    static rocksdb_env_t ordered{
        rocksdb::NewCompositeEnv(std::make_shared<OrderedFiles>(rocksdb::FileSystem::Default()))
            .release(),
        false};
    rocksdb_options_set_env(options, &ordered);
}
