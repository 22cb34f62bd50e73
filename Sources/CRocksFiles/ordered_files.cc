// RocksDB's C interface has no way to stand between RocksDB and the files, its C++ interface has one.

#include "graddb_rocks_files.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

// RocksDB's own: the C interface hands it out and keeps what is in it to itself.
struct rocksdb_env_t {
    rocksdb::Env *rep;
    bool is_default;
};

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// What a disk writes whole, or not at all.
constexpr size_t sector = 512;

// A manifest to which records are added after it has been synced once: sector by sector, each synced
// before the next. So a power failure leaves a beginning of what was added, which RocksDB takes for the end,
// and never its last part without its first, which RocksDB refuses. A record seldom has more than two.
class OrderedManifest : public rocksdb::FSWritableFileOwnerWrapper {
  public:
    using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;

    IOStatus Append(const Slice &data, const IOOptions &options, IODebugContext *debug) override {
        if (is_synced) {
            pending.append(data.data(), data.size());
            return IOStatus::OK();
        }
        size += data.size();
        return FSWritableFileOwnerWrapper::Append(data, options, debug);
    }

    IOStatus Append(const Slice &data, const IOOptions &options,
                    const rocksdb::DataVerificationInfo &, IODebugContext *debug) override {
        return Append(data, options, debug);
    }

    IOStatus Sync(const IOOptions &options, IODebugContext *debug) override {
        return write_and_sync(options, debug,
                              [&] { return FSWritableFileOwnerWrapper::Sync(options, debug); });
    }

    IOStatus Fsync(const IOOptions &options, IODebugContext *debug) override {
        return write_and_sync(options, debug,
                              [&] { return FSWritableFileOwnerWrapper::Fsync(options, debug); });
    }

    uint64_t GetFileSize(const IOOptions &, IODebugContext *) override { return size + pending.size(); }

  private:
    bool is_synced = false;
    uint64_t size = 0;
    std::string pending;

    template <typename Synced>
    IOStatus write_and_sync(const IOOptions &options, IODebugContext *debug, Synced sync) {
        // What could not be written is not written later: RocksDB then makes a new manifest.
        const std::string added = std::move(pending);
        pending.clear();
        size_t done = 0;
        do {
            const size_t count = std::min(added.size() - done, sector - (size_t)(size % sector));
            IOStatus status;
            if (count > 0)
                status = FSWritableFileOwnerWrapper::Append(Slice(added.data() + done, count),
                                                            options, debug);
            if (status.ok()) status = sync();
            if (!status.ok()) return status;
            size += count;
            done += count;
        } while (done < added.size());
        is_synced = true;
        return IOStatus::OK();
    }
};

std::string last_part(const std::string &path) { return path.substr(path.rfind('/') + 1); }

class OrderedFiles : public rocksdb::FileSystemWrapper {
  public:
    using FileSystemWrapper::FileSystemWrapper;

    const char *Name() const override { return "OrderedFiles"; }

    IOStatus NewWritableFile(const std::string &path, const rocksdb::FileOptions &options,
                             std::unique_ptr<rocksdb::FSWritableFile> *file,
                             IODebugContext *debug) override {
        const IOStatus status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
        if (status.ok() && last_part(path).rfind("MANIFEST-", 0) == 0)
            *file = std::make_unique<OrderedManifest>(std::move(*file));
        return status;
    }

    IOStatus RenameFile(const std::string &source, const std::string &target,
                        const IOOptions &options, IODebugContext *debug) override {
        if (last_part(target) == "CURRENT") {
            std::unique_ptr<rocksdb::FSDirectory> directory;
            IOStatus status =
                NewDirectory(target.substr(0, target.rfind('/')), options, &directory, debug);
            if (status.ok()) status = directory->Fsync(options, debug);
            if (!status.ok()) return status;
        }
        return FileSystemWrapper::RenameFile(source, target, options, debug);
    }
};

} // namespace

void gd_keep_files_in_order(rocksdb_options_t *options) {
    // For all databases of the process and as long as it lives, as RocksDB's own.
    static rocksdb_env_t ordered{
        rocksdb::NewCompositeEnv(std::make_shared<OrderedFiles>(rocksdb::FileSystem::Default()))
            .release(),
        false};
    rocksdb_options_set_env(options, &ordered);
}
