/* graddb.h - GradDB's C interface: what libgraddb.so exports.
 *
 * An embedded database engine for training-data attribution. What a table, a layer, a checkpoint
 * or a snapshot is, what a score is, and the language of statements: format-spec/. The JSON texts
 * that functions take and return have the keys of format-spec/cli-json.md.
 *
 * Failures. No exception and no signal crosses this interface. Functions that return a pointer
 * return NULL when they fail, those that return int32_t a code other than 0; the last argument,
 * where it is not NULL, then receives an error that the caller frees. It is set to NULL when there
 * is no failure. Codes are the exit codes of format-spec/cli-json.md: 1 failed, 10 not found,
 * 11 locked, 12 corrupt, 13 format too new, 64 usage, 65 bad input, 74 I/O, 130 interrupted.
 *
 * Handles. What functions return as pointers to incomplete types are handles: never dereferenced,
 * never given twice in one process. Each is freed with its own function, once; freeing NULL does
 * nothing. NULL, or a handle that was freed, is an error of code 64 and not a crash. Freeing a
 * handle that another thread is using is safe: its memory goes when that call returns.
 *
 * Threads. All functions may be called from any thread, on the same handles too, with the one
 * exception that a writer takes one call at a time (a second is refused). Calls block until they
 * are done; long ones take a cancellation that another thread can trip.
 *
 * Processes. A handle of a database does not survive fork(): open it again in the child. There it
 * can be read. It can be written to only where no process had written before the fork: the threads
 * that write stay with the parent (GRADDB_FAILED says so).
 *
 * Memory. Pointers passed in are read (or written) during the call only, unless it says otherwise.
 * Texts are UTF-8 and end with a zero byte. A `char *` that is returned is freed with
 * graddb_string_free, a `const char *` lives as long as the handle that it came from.
 */
#ifndef GRADDB_H
#define GRADDB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a change breaks programs that were compiled before it. */
#define GRADDB_ABI_VERSION 2

/* The ABI version of the library that is loaded; a program compares it with its own. */
uint32_t graddb_abi_version(void);
/* The version of the engine, such as "0.1.0". Never freed. */
const char *graddb_version(void);

typedef struct graddb_error graddb_error;
typedef struct graddb_cancellation graddb_cancellation;
typedef struct graddb_database graddb_database;
typedef struct graddb_result graddb_result;
typedef struct graddb_writer graddb_writer;
typedef struct graddb_projector graddb_projector;
typedef struct graddb_kept graddb_kept;

void graddb_string_free(char *text);

/* ------------------------------------------------------------------------------------ errors -- */

enum {
    GRADDB_OK = 0,
    GRADDB_FAILED = 1,
    GRADDB_NOT_FOUND = 10,
    GRADDB_LOCKED = 11,
    GRADDB_CORRUPT = 12,
    GRADDB_FORMAT_TOO_NEW = 13,
    GRADDB_USAGE = 64,
    GRADDB_BAD_INPUT = 65,
    GRADDB_IO = 74,
    GRADDB_INTERRUPTED = 130
};

/* The code; GRADDB_USAGE for what is no error's handle. */
int32_t graddb_error_code(const graddb_error *error);
/* The kind's name, such as "bad_input". Never freed. */
const char *graddb_error_kind(const graddb_error *error);
/* What is wrong, where, and what to do about it. */
const char *graddb_error_message(const graddb_error *error);
void graddb_error_free(graddb_error *error);

/* Notes that the engine has for people (of rows left out, of what a recovery removed), since they
 * were last taken, as a JSON array: [{"level": "notice", "label": "graddb.writer",
 * "message": "..."}]. At most the newest 1,000 are kept. */
char *graddb_take_notes(void);

/* ------------------------------------------------------------------------------ cancellation -- */

/* A flag that stops work: calls that were given it fail with GRADDB_INTERRUPTED, soon after
 * graddb_cancellation_cancel, and change nothing. It stays set. */
graddb_cancellation *graddb_cancellation_create(void);
/* Safe from any thread; not from signal handlers. */
void graddb_cancellation_cancel(graddb_cancellation *cancellation);
void graddb_cancellation_free(graddb_cancellation *cancellation);

/* ---------------------------------------------------------------------------------- database -- */

/* Opens the database in the directory `path`. Takes no lock. Every call sees what was committed,
 * by any process, when it began. */
graddb_database *graddb_open(const char *path, graddb_error **error);
/* Makes an empty database in a new or empty directory and opens it. */
graddb_database *graddb_create(const char *path, graddb_error **error);
void graddb_close(graddb_database *database);

/* How many seconds calls that write wait for another writer to let go of the lock, before they
 * fail with GRADDB_LOCKED: 5 at first. */
int32_t graddb_set_lock_timeout(graddb_database *database, double seconds, graddb_error **error);

/* `gradctl info`, without and with a table. */
char *graddb_info(graddb_database *database, graddb_error **error);
char *graddb_table_info(graddb_database *database, const char *table, graddb_error **error);
/* Sizes and counts, in bytes:
 *   {"database": "runs/db", "bytes": 413000000, "live_bytes": 393216000, "garbage_bytes": 0,
 *    "amplification": 1.05, "tables": [{"table": "alpaca", "snapshot": 3, "rows": 2000,
 *    "checkpoints": 3, "segments": 3, "bytes": ..., ...}]}
 * with the keys of `gradctl info` (format-spec/cli-json.md). */
char *graddb_statistics(graddb_database *database, graddb_error **error);
/* `gradctl snapshots`, as one JSON array, the newest first. */
char *graddb_table_snapshots(graddb_database *database, const char *table, graddb_error **error);

/* Makes a table; returns what `gradctl create --json` prints. `schema`:
 *   {"table": "alpaca", "layers": [{"name": "grad", "dims": 65536, "codecs": ["int8", "bit"]}],
 *    "fields": [{"name": "source", "type": "string"}], "unit": "example", "row_group": 1024}
 * `codecs` (["int8"]), `fields`, `unit` and `row_group` may be left out. A layer may have a
 * `projector`, an object of format-spec/projectors.md. */
char *graddb_create_table(graddb_database *database, const char *schema, graddb_error **error);

/* Names a snapshot, the newest where `snapshot` is negative; an existing tag moves. Returns what
 * `gradctl tag --json` prints. */
char *graddb_tag(graddb_database *database, const char *table, const char *tag, int64_t snapshot,
                 graddb_error **error);
int32_t graddb_delete_tag(graddb_database *database, const char *table, const char *tag,
                          graddb_error **error);

/* ----------------------------------------------------------------------- vectors and columns -- */

enum { GRADDB_F32 = 0, GRADDB_F16 = 1, GRADDB_BF16 = 2 };

/* Where a tensor's data is: in the host's memory, or in that of NVIDIA GPU n, which is
 * GRADDB_GPU_0 + n (the driver's numbers, as CUDA_VISIBLE_DEVICES shows them). */
enum { GRADDB_HOST = 0, GRADDB_GPU_0 = 1 };

/* A matrix in the caller's memory: one vector per row, its elements side by side. One in a GPU's
 * memory is copied to the host by the driver, once and without a detour, behind what the GPU's
 * default stream has been given before the call: what writes it must be in that stream's order. */
typedef struct graddb_tensor {
    const char *name; /* the layer's; NULL for the only layer of a table */
    const void *data; /* element 0 of row 0 */
    int64_t rows;
    int64_t dims;       /* elements of a row */
    int64_t row_stride; /* bytes from one row to the next; may be 0 or negative */
    int32_t dtype;      /* GRADDB_F32, GRADDB_F16 or GRADDB_BF16 */
    int32_t device;     /* GRADDB_HOST, or GRADDB_GPU_0 + n */
} graddb_tensor;

/* Fails where tensors in the memory of that GPU cannot be read: GRADDB_FAILED says why. */
int32_t graddb_check_gpu(int32_t gpu, graddb_error **error);

enum { GRADDB_STRING = 0, GRADDB_INT = 1, GRADDB_FLOAT = 2, GRADDB_BOOL = 3 };

/* One value per row. */
typedef struct graddb_column {
    const char *name;
    /* GRADDB_INT: int64_t; GRADDB_FLOAT: double; GRADDB_BOOL: uint8_t, 0 or 1; GRADDB_STRING: the
     * bytes of all strings one after the other. */
    const void *values;
    const int64_t *offsets;  /* GRADDB_STRING: rows + 1 offsets into values; else NULL */
    const uint8_t *validity; /* one byte per row, 0 where the value is NULL; NULL: none is */
    int64_t rows;
    int32_t type;
} graddb_column;

/* Stores rows in one snapshot: reads all, then commits, or changes nothing. All tensors, ids and
 * fields have one row for each of the same examples. `ids`: a column of strings or integers, or
 * NULL for integers that go on counting. A field that is left out is NULL. `options`:
 *   {"checkpoint": "step-300", "step": 300, "weight": 2e-5, "tag": "v1", "message": "",
 *    "resume": false, "threads": 2, "projectors": {"grad": {...}}}
 * of which `checkpoint` must be there. `projectors`: by layer, what made the vectors. With `resume`, rows whose id the checkpoint has are left
 * out. Returns what `gradctl ingest --json` prints. */
char *graddb_append(graddb_database *database, const char *table, const char *options,
                    const graddb_tensor *tensors, size_t tensor_count, const graddb_column *ids,
                    const graddb_column *fields, size_t field_count,
                    graddb_cancellation *cancellation, graddb_error **error);

/* ----------------------------------------------------------------------------------- writers -- */

/* Begins or joins a staged ingest (format-spec/staging.md) and opens one rank of it: for many
 * batches, over any time, without the database's lock. `options`:
 *   {"checkpoint": "step-300", "step": 300, "weight": 2e-5, "ranks": 8, "rank": 0,
 *    "row_group": 1024, "resume": false, "threads": 2, "projectors": {"grad": {...}}}
 * of which `checkpoint` must be there. `resume` goes on where a process was stopped: rows that are
 * there already are left out. `cancellation` may be NULL; it stops all later calls of the writer,
 * too. */
graddb_writer *graddb_writer_open(graddb_database *database, const char *table,
                                  const char *options, graddb_cancellation *cancellation,
                                  graddb_error **error);
/* Rows of the rank that earlier processes made durable; 0 for no handle. */
int64_t graddb_writer_earlier_rows(const graddb_writer *writer);
/* Takes a batch, all of its rows or none; every row needs an id. `skipped`, where not NULL, gets the
 * number of rows that `resume` left out. After GRADDB_IO the writer takes no more. */
int32_t graddb_writer_append(graddb_writer *writer, const graddb_tensor *tensors,
                             size_t tensor_count, const graddb_column *ids,
                             const graddb_column *fields, size_t field_count, int64_t *skipped,
                             graddb_error **error);
/* Makes full row groups durable; rows of one that is not full stay in memory. */
int32_t graddb_writer_flush(graddb_writer *writer, graddb_error **error);
/* Writes the last row group and closes the rank, which graddb_commit needs. Returns
 *   {"rows": 12000, "new_rows": 12000, "skipped": 0, "bytes": 101449920}: rows of the rank, those of
 * earlier processes among them; of those, rows that this writer took. */
char *graddb_writer_close(graddb_writer *writer, graddb_error **error);
/* Frees a writer. One that is not closed is abandoned: its finished row groups stay for another. */
void graddb_writer_free(graddb_writer *writer);

/* Makes one snapshot of what all ranks of the staged ingest at a checkpoint have written.
 *   {"checkpoint": "step-300", "tag": "v1", "message": "", "partial": false, "threads": 2}
 * Every rank that was opened must be closed, but with `partial`. Returns what
 * `gradctl ingest --json` prints. */
char *graddb_commit(graddb_database *database, const char *table, const char *options,
                    graddb_cancellation *cancellation, graddb_error **error);
/* What is staged for a table: the lines of `gradctl staged --json`, as one JSON array. */
char *graddb_staged(graddb_database *database, const char *table, graddb_error **error);
/* Removes a staged ingest with all that its ranks have written. */
int32_t graddb_abandon(graddb_database *database, const char *table, const char *checkpoint,
                       graddb_error **error);

/* ----------------------------------------------------------------------------------- reading -- */

/* Reads stored vectors, decoded from the finest encoding: row i of `vectors` [ids->rows, dims] is
 * that of id i. `options`, NULL or
 *   {"checkpoint": "step-300", "layer": "grad", "at": 3, "threads": 2}:
 * the newest checkpoint and the only layer where they are left out; `at` is a snapshot's number, a
 * tag or a time. `capacity` is the number of floats that `vectors` has room for. Fails with
 * GRADDB_NOT_FOUND, naming the id, where one has no vector there. */
int32_t graddb_read(graddb_database *database, const char *table, const char *options,
                    const graddb_column *ids, float *vectors, size_t capacity,
                    graddb_cancellation *cancellation, graddb_error **error);

/* ----------------------------------------------------------------------------------- queries -- */

/* What a `$name` of a statement stands for: vectors in memory, or a text, which is the path of a file
 * where the statement takes vectors, and a value where it stands in a condition. */
typedef struct graddb_parameter {
    const char *name; /* without the $ */
    const char *file; /* the text; then there are no tensors. Else NULL */
    const graddb_tensor *tensors;
    size_t tensor_count;
    /* {"grad": {...}}: by layer, what made the tensors (format-spec/projectors.md); vectors of
     * another projector than the layer's are refused. NULL where that is not known. */
    const char *projectors;
} graddb_parameter;

enum { GRADDB_RUN = 0, GRADDB_EXPLAIN = 1, GRADDB_EXPLAIN_ANALYZE = 2 };

/* Runs one statement. `table` is meant where it has no FROM; it may be NULL. `mode`: GRADDB_RUN, or
 * as though the statement began with EXPLAIN or EXPLAIN ANALYZE. `options`, NULL or
 *   {"threads": 2, "device": "gpu", "device_memory": 40000000000}
 * `threads` 0: one per processor. `device` and `device_memory`, bytes of each: where to score, as
 * `--device` and `--gpu-memory` of gradctl say it (format-spec/cli-json.md, "Devices"), but "cpu"
 * where it is left out: no GPU is used that was not asked for. What a device did is in the plan.
 * Where "auto" had to go on with the processor, a note says why. */
graddb_result *graddb_query(graddb_database *database, const char *statement, const char *table,
                            int32_t mode, const graddb_parameter *parameters,
                            size_t parameter_count, const char *options,
                            graddb_cancellation *cancellation, graddb_error **error);

/* Rows of an answer; 0 of a plan, and of no handle. */
int64_t graddb_result_rows(const graddb_result *result);
/* Columns of an answer: `query`, `rank`, `end`, `id`, `score`, under BUDGET `score_low`,
 * `score_high` and `expected_recall`, then what SELECT names. */
int64_t graddb_result_columns(const graddb_result *result);
/* Fills `column`; its pointers live as long as the result. */
int32_t graddb_result_column(const graddb_result *result, int64_t index, graddb_column *column,
                             graddb_error **error);
/* 1 when the statement was EXPLAIN, and the result is a plan; else 0. */
int32_t graddb_result_is_plan(const graddb_result *result);
/* The plan, after a run with what happened, as JSON (`gradctl explain --json`) and as text for
 * people. NULL for no handle. */
const char *graddb_result_plan_json(const graddb_result *result);
const char *graddb_result_plan_text(const graddb_result *result);
void graddb_result_free(graddb_result *result);

/* Brings the vectors of a checkpoint to a device's memory, verified, and keeps them there for queries
 * of this process, until it is freed or the database is closed. `options`:
 *   {"device": "gpu", "device_memory": 40000000000, "checkpoint": "step-300", "layers": ["grad"],
 *    "threads": 2}
 * `device` and `device_memory` are those of the queries: with other memory it is another device.
 * Without `checkpoint` the newest, without `layers` all. What is written later is not among them.
 * GRADDB_FAILED where they do not fit beside what is kept already; of a device that fails, too, but
 * with "auto": then a note says why, and nothing is kept. */
graddb_kept *graddb_keep(graddb_database *database, const char *table, const char *options,
                         graddb_cancellation *cancellation, graddb_error **error);
/* {"table": "alpaca", "checkpoint": "step-300", "layers": ["grad"], "device": "NVIDIA H200",
 *  "bytes": 3451912192, "row_groups": 51}: `device` is null, and 0 bytes, where nothing is kept. */
char *graddb_kept_info(const graddb_kept *kept, graddb_error **error);
/* The memory may then be used for other blocks. */
void graddb_kept_free(graddb_kept *kept);

/* -------------------------------------------------------------------------------- projectors -- */

/* One tensor of raw gradients for all rows of a call. */
typedef struct graddb_raw_tensor {
    const char *name;
    const void *data;     /* row 0; the elements of a row lie side by side, row-major */
    const int64_t *shape; /* of one row: `rank` extents; NULL for rank 0 */
    int64_t row_stride;   /* bytes from one row to the next */
    int32_t rank;
    int32_t dtype; /* GRADDB_F32, GRADDB_F16 or GRADDB_BF16 */
} graddb_raw_tensor;

/* Makes a projector (format-spec/projectors.md) from its JSON object, or from a specification like
 * "sketch,dims=65536,seed=7,normalise=tensor". */
graddb_projector *graddb_projector_create(const char *projector, graddb_error **error);
/* {"projector": {...}, "hash": "<16 digits>", "text": "..."}: `text` is what goes into the metadata
 * of a file of its vectors. After the first rows the projector has its tensors. */
char *graddb_projector_info(graddb_projector *projector, graddb_error **error);
/* Projects `rows` rows: row i of `vectors` [rows, dims] is that of row i of the tensors. The first
 * call fixes the names and shapes of the tensors, of which the projector takes those that it names
 * or matches. `capacity` is the number of floats that `vectors` has room for. */
int32_t graddb_projector_project(graddb_projector *projector, const graddb_raw_tensor *tensors,
                                 size_t tensor_count, int64_t rows, float *vectors, size_t capacity,
                                 int32_t threads, graddb_cancellation *cancellation,
                                 graddb_error **error);
void graddb_projector_free(graddb_projector *projector);
/* Adds rows of a tensor's elements, f32, to the rows' sums in a sketch of `dims` dims, as they are: for
 * who has gradients in memory a tensor at a time, and scales and checks them. Strides are in floats. */
int32_t graddb_sketch_add(uint64_t seed, const char *tensor, int64_t dims, const float *elements,
                          int64_t rows, int64_t count, int64_t stride, float *sums,
                          int64_t sums_stride, graddb_error **error);

#ifdef __cplusplus
}
#endif

#endif
