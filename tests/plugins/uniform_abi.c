/* Opens the uniform plugin as a host written in C would, and calls every function of its table. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plugin_api.h"

#define EXPECT(condition)                                             \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

struct text {
  deciban_text_out out;
  char data[4096];
  size_t size;
};
static void put_text(deciban_text_out* self, const char* data, size_t size) {
  struct text* text = (struct text*)self;
  EXPECT(text->size + size < sizeof text->data);
  memcpy(text->data + text->size, data, size);
  text->size += size;
}

struct tokens {
  deciban_token_out out;
  int32_t data[64];
  size_t count;
};
static void put_tokens(deciban_token_out* self, const int32_t* data, size_t count) {
  struct tokens* tokens = (struct tokens*)self;
  EXPECT(tokens->count + count <= sizeof tokens->data / sizeof *tokens->data);
  memcpy(tokens->data + tokens->count, data, count * sizeof *data);
  tokens->count += count;
}

/* Two requests: "abc" from its second token on, then 300 bytes from the 200th on. */
struct source {
  deciban_source out;
  size_t given;
  int32_t tokens[300];
};
static int32_t next(deciban_source* self, deciban_request* request) {
  struct source* source = (struct source*)self;
  if (source->given == 2) return 0;
  EXPECT(request->size == sizeof *request);
  request->index = source->given;
  request->tokens = source->tokens;
  request->count = source->given == 0 ? 3 : 300;
  request->first = source->given == 0 ? 1 : 200;
  request->shared = 0;
  ++source->given;
  return 1;
}

struct sink {
  deciban_sink out;
  size_t delivered, scores, rows;
};
static int32_t scored(deciban_sink* self, size_t index, const deciban_score* scores, size_t count) {
  struct sink* sink = (struct sink*)self;
  EXPECT(index == sink->delivered);
  EXPECT(count == (index == 0 ? 2u : 100u));
  for (size_t i = 0; i < count; ++i) {
    EXPECT(fabs(scores[i].logprob / log(2) + 8) < 1e-6);
    EXPECT(scores[i].best == 0 && scores[i].best_logprob == scores[i].logprob);
  }
  sink->scores += count;
  ++sink->delivered;
  return 0;
}
static int32_t failed(deciban_sink* self, size_t index, const char* reason, size_t size) {
  (void)self;
  fprintf(stderr, "sequence %zu failed: %.*s\n", index, (int)size, reason);
  exit(1);
}
static int32_t rows(deciban_sink* self, size_t index, size_t position, const float* logits, size_t count,
                    size_t columns) {
  struct sink* sink = (struct sink*)self;
  EXPECT(columns == 256);
  EXPECT(position >= (index == 0 ? 1u : 200u));
  for (size_t i = 0; i < count * columns; ++i) EXPECT(logits[i] == logits[0]);
  sink->rows += count;
  return 0;
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fprintf(stderr, "%s\n", dlerror());
  EXPECT(library != NULL);
  deciban_plugin_fn* entry = NULL;
  *(void**)&entry = dlsym(library, DECIBAN_PLUGIN_SYMBOL);
  EXPECT(entry != NULL);
  const deciban_plugin_table* table = entry();
  EXPECT(table->abi == DECIBAN_PLUGIN_ABI && table->size == sizeof *table);

  struct text error = {.out = {put_text}}, text = {.out = {put_text}};
  deciban_model* model = NULL;
  static const char kWrong[] = "{\"spec\":\"plugin:uniform,n=3\",\"options\":{\"n\":\"3\"}}";
  EXPECT(table->open(kWrong, sizeof kWrong - 1, &model, &error.out) == DECIBAN_BAD_ARGUMENT);
  EXPECT(error.size > 0 && model == NULL);
  error.size = 0;
  static const char kRight[] = "{\"spec\":\"plugin:uniform\",\"options\":{},\"device\":\"auto\"}";
  EXPECT(table->check(kRight, sizeof kRight - 1, &error.out) == DECIBAN_OK);
  EXPECT(table->open(kRight, sizeof kRight - 1, &model, &error.out) == DECIBAN_OK && model != NULL);

  EXPECT(table->info(model, &text.out, &error.out) == DECIBAN_OK);
  text.data[text.size] = '\0';
  EXPECT(strstr(text.data, "\"n_vocab\": 256") != NULL);

  struct tokens tokens = {.out = {put_tokens}};
  EXPECT(table->encode(model, "a\0\xff", 3, &tokens.out, &error.out) == DECIBAN_OK);
  EXPECT(tokens.count == 3 && tokens.data[0] == 'a' && tokens.data[1] == 0 && tokens.data[2] == 255);
  text.size = 0;
  EXPECT(table->decode(model, tokens.data, 3, &text.out, &error.out) == DECIBAN_OK);
  EXPECT(text.size == 3 && memcmp(text.data, "a\0\xff", 3) == 0);

  for (int32_t wants_rows = 0; wants_rows < 2; ++wants_rows) {
    struct source source = {.out = {sizeof(deciban_source), next}};
    struct sink sink = {.out = {sizeof(deciban_sink), scored, failed, wants_rows, rows}};
    EXPECT(table->score(model, &source.out, &sink.out, &error.out) == DECIBAN_OK);
    EXPECT(sink.delivered == 2 && sink.scores == 102);
    EXPECT(sink.rows == (wants_rows ? 102u : 0u));
  }

  deciban_memory memory = {.size = sizeof memory, .device = 1};
  EXPECT(table->memory(model, &memory, &error.out) == DECIBAN_OK);
  EXPECT(memory.weights > 0 && memory.device == 0);

  deciban_batch* batch = NULL;
  EXPECT(table->batch_open(model, 2, &batch, &error.out) == DECIBAN_OK && batch != NULL);
  const float* logits = NULL;
  size_t columns = 0;
  const int32_t step[] = {'a', 'b', 'c'};
  EXPECT(table->batch_step(batch, step, 2, &logits, &columns, &error.out) == DECIBAN_OK);
  EXPECT(columns == 256 && logits != NULL && logits[511] == logits[0]);
  EXPECT(table->batch_copy(batch, 0, 1, &error.out) == DECIBAN_OK);
  EXPECT(table->batch_reset(batch, 0, &error.out) == DECIBAN_OK);
  EXPECT(table->batch_state_bytes(batch) == 0);
  EXPECT(error.size == 0);
  EXPECT(table->batch_step(batch, step, 3, &logits, &columns, &error.out) == DECIBAN_BAD_ARGUMENT);
  table->batch_close(batch);
  table->close(model);
  dlclose(library);
  return 0;
}
