/* A small program over graddb.h: makes a table, stores rows, asks, and checks what comes back. Also
 * calls everything with what is no handle. Exits 0, or prints the line that went wrong. */
#include <graddb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                       \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);             \
            if (error) fprintf(stderr, "%s\n", graddb_error_message(error));    \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

enum { ROWS = 300, DIMS = 40 };

static float value(int row, int dim) { return (float)((row * 31 + dim * 17) % 29 - 14); }

static double dot(int a, int b) {
    double sum = 0;
    for (int dim = 0; dim < DIMS; dim++) sum += (double)value(a, dim) * value(b, dim);
    return sum;
}

static void check_refusals(graddb_database *database) {
    graddb_error *error = NULL;
    graddb_database *stale[] = {NULL, (graddb_database *)0x12345670, (graddb_database *)8};
    for (int i = 0; i < 3; i++) {
        EXPECT(!graddb_statistics(stale[i], NULL) && !graddb_info(stale[i], &error));
        EXPECT(graddb_error_code(error) == GRADDB_USAGE);
        graddb_error_free(error);
        EXPECT(!graddb_query(stale[i], "SCORE dot TO ROW 1", "t", 0, NULL, 0, NULL, NULL, NULL));
        EXPECT(graddb_delete_tag(stale[i], "t", "v", NULL) == GRADDB_USAGE);
        graddb_close(stale[i]);
    }
    error = NULL;
    EXPECT(!graddb_open(NULL, &error));
    EXPECT(strcmp(graddb_error_kind(error), "usage") == 0);
    graddb_error_free(error);
    graddb_error_free(error);
    EXPECT(graddb_error_code(error) == GRADDB_USAGE);
    error = NULL;
    EXPECT(!graddb_open("\xff", NULL) && !graddb_open("/nowhere", NULL));
    EXPECT(!graddb_table_info(database, NULL, NULL) && !graddb_create_table(database, "{", NULL));
    EXPECT(!graddb_query(database, NULL, "t", 0, NULL, 0, NULL, NULL, NULL));
    EXPECT(!graddb_query(database, "SCORE dot TO ROW 1", "t", 9, NULL, 0, NULL, NULL, NULL));
    EXPECT(!graddb_query(database, "SCORE dot TO ROW 1", "t", 0, NULL, 3, NULL, NULL, NULL));
    EXPECT(!graddb_query(database, "SCORE dot TO ROW 1", "t", 0, NULL, 0, "{\"threads\": -1}", NULL, NULL));
    EXPECT(!graddb_query(database, "SCORE dot TO ROW 1", "t", 0, NULL, 0, "{\"device\": \"tpu\"}", NULL,
                         NULL));
    EXPECT(!graddb_query(database, "SCORE dot TO ROW 1", "t", 0, NULL, 0,
                         "{\"device\": \"staged\", \"device_memory\": 0}", NULL, NULL));
    EXPECT(!graddb_keep(database, "t", "{}", NULL, NULL));
    EXPECT(!graddb_keep(NULL, "t", "{\"device\": \"staged\"}", NULL, NULL));
    EXPECT(!graddb_kept_info(NULL, NULL) && !graddb_kept_info((graddb_kept *)database, NULL));
    graddb_kept_free((graddb_kept *)database);
    graddb_kept_free(NULL);
    EXPECT(graddb_check_gpu(-1, NULL) == GRADDB_FAILED);
    EXPECT(!graddb_query(database, "SCORE dot TO ROW 1", "t", 0, NULL, 0, NULL,
                         (graddb_cancellation *)database, NULL));
    EXPECT(!graddb_append(database, "t", NULL, NULL, 0, NULL, NULL, 0, NULL, NULL));
    EXPECT(!graddb_append(database, "t", "{\"checkpoint\": \"a\"}", NULL, 5, NULL, NULL, 0, NULL, NULL));
    EXPECT(graddb_read(database, "t", NULL, NULL, NULL, 0, NULL, NULL) == GRADDB_USAGE);
    EXPECT(!graddb_writer_open(database, "t", "{}", NULL, NULL));
    EXPECT(graddb_writer_flush(NULL, NULL) == GRADDB_USAGE && !graddb_writer_close(NULL, NULL));
    EXPECT(graddb_result_column(NULL, 0, NULL, NULL) == GRADDB_USAGE);
    EXPECT(graddb_result_rows(NULL) == 0 && !graddb_result_plan_json(NULL));
    graddb_tensor bad[] = {
        {NULL, NULL, 4, DIMS, 4 * DIMS, GRADDB_F32, GRADDB_HOST}, {NULL, bad, -1, DIMS, 4, GRADDB_F32, GRADDB_HOST},
        {NULL, bad, 4, DIMS, 4, 77, GRADDB_HOST}, {NULL, bad, INT64_MAX, INT64_MAX, 4, GRADDB_F32, GRADDB_HOST},
        {NULL, bad, INT64_MAX / 8, 8, INT64_MAX, GRADDB_BF16, GRADDB_HOST}, {"\xff", bad, 1, 1, 4, GRADDB_F32, GRADDB_HOST},
        {NULL, bad, 1, DIMS, 4, GRADDB_F32, -1},
    };
    for (int i = 0; i < 7; i++) {
        EXPECT(!graddb_append(database, "t", "{\"checkpoint\": \"a\"}", &bad[i], 1, NULL, NULL, 0, NULL,
                              &error));
        EXPECT(graddb_error_code(error) == (i == 5 ? GRADDB_USAGE : GRADDB_BAD_INPUT));
        graddb_error_free(error);
        error = NULL;
    }
}

int main(int count, char **arguments) {
    graddb_error *error = NULL;
    EXPECT(count == 2);
    EXPECT(graddb_abi_version() == GRADDB_ABI_VERSION && strlen(graddb_version()) > 0);
    graddb_database *database = graddb_create(arguments[1], &error);
    EXPECT(database && !error);
    graddb_string_free(graddb_create_table(
        database, "{\"table\": \"t\", \"layers\": [{\"name\": \"g\", \"dims\": 40, \"codecs\": [\"f32\"]}],"
        " \"fields\": [{\"name\": \"s\", \"type\": \"string\"}]}", &error));
    EXPECT(!error);

    static float vectors[ROWS][DIMS + 3];
    static int64_t ids[ROWS], offsets[ROWS + 1];
    static uint8_t validity[ROWS];
    for (int row = 0; row < ROWS; row++) {
        ids[row] = 1000 + row;
        validity[row] = row % 3 != 0;
        offsets[row + 1] = row + 1;
        for (int dim = 0; dim < DIMS; dim++) vectors[row][dim] = value(row, dim);
    }
    char text[ROWS];
    memset(text, 'x', ROWS);
    graddb_tensor tensor = {"g", vectors, ROWS, DIMS, sizeof vectors[0], GRADDB_F32, GRADDB_HOST};
    graddb_column id_column = {"id", ids, NULL, NULL, ROWS, GRADDB_INT};
    graddb_column field = {"s", text, offsets, validity, ROWS, GRADDB_STRING};
    graddb_string_free(graddb_append(database, "t", "{\"checkpoint\": \"c\"}", &tensor, 1, &id_column,
                                     &field, 1, NULL, &error));
    EXPECT(!error);
    graddb_writer *writer = graddb_writer_open(database, "t", "{\"checkpoint\": \"w\"}", NULL, &error);
    EXPECT(writer);
    int64_t skipped = -1;
    EXPECT(!graddb_writer_append(writer, &tensor, 1, &id_column, &field, 1, &skipped, &error));
    EXPECT(skipped == 0 && !graddb_writer_flush(writer, &error));
    graddb_string_free(graddb_writer_close(writer, &error));
    EXPECT(!error);
    graddb_writer_free(writer);
    EXPECT(graddb_writer_flush(writer, NULL) == GRADDB_USAGE);
    graddb_string_free(graddb_commit(database, "t", "{\"checkpoint\": \"w\"}", NULL, &error));
    EXPECT(!error);
    check_refusals(database);

    tensor.rows = 1;
    graddb_parameter parameter = {"q", NULL, &tensor, 1, NULL};
    graddb_result *result = graddb_query(database, "SELECT s SCORE dot TO $q TOP 5", "t", GRADDB_RUN,
                                         &parameter, 1, "{\"threads\": 2}", NULL, &error);
    EXPECT(result && graddb_result_rows(result) == 5 && graddb_result_columns(result) == 6);
    graddb_column id, score, s;
    EXPECT(!graddb_result_column(result, 3, &id, &error) && id.type == GRADDB_INT);
    EXPECT(!graddb_result_column(result, 4, &score, &error) && score.type == GRADDB_FLOAT);
    EXPECT(!graddb_result_column(result, 5, &s, &error) && strcmp(s.name, "s") == 0);
    EXPECT(graddb_result_column(result, 6, &s, NULL) == GRADDB_USAGE);
    EXPECT(!graddb_result_column(result, 5, &s, &error));
    for (int row = 0; row < 5; row++) {
        int number = (int)(((const int64_t *)id.values)[row] - 1000);
        EXPECT(((const double *)score.values)[row] == dot(0, number));
        EXPECT(s.offsets[row + 1] - s.offsets[row] == (number % 3 != 0));
        EXPECT(!s.validity || s.validity[row] == (number % 3 != 0));
    }
    EXPECT(((const double *)score.values)[0] == dot(0, 0) && strstr(graddb_result_plan_json(result), "scan"));
    // Freed while its columns' owner is the result: nothing of the database is needed.
    graddb_close(database);
    EXPECT(graddb_result_rows(result) == 5 && !graddb_result_is_plan(result));
    graddb_result_free(result);
    graddb_result_free(result);
    EXPECT(graddb_result_rows(result) == 0);
    EXPECT(!graddb_info(database, NULL) && !graddb_statistics(database, NULL));
    puts("ok");
    return 0;
}
