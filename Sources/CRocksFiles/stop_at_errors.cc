// RocksDB's C interface cannot say that a database is not to resume after an error, its C++ interface can.

#include "graddb_rocks_files.h"

#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include <memory>

// RocksDB's own: the C interface hands it out and keeps what is in it to itself.
struct rocksdb_options_t {
    rocksdb::Options rep;
};

namespace {

class NoRecovery : public rocksdb::EventListener {
  public:
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool *recovers) override {
        *recovers = false;
    }
};

} // namespace

void gd_stop_at_errors(rocksdb_options_t *options) {
    // The one is asked where a write may be tried again, the other where there was no room.
    options->rep.max_bgerror_resume_count = 0;
    options->rep.listeners.push_back(std::make_shared<NoRecovery>());
}
