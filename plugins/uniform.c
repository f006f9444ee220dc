/* The smallest plugin: a model over bytes that finds all 256 equally likely, hence exactly 8 bits a byte.
 *
 *   deciban eval -m plugin:uniform -c texts/
 *
 * Copy this file to begin one of your own; docs/plugins.md goes through it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plugin_api.h"

enum { kVocabulary = 256 };

struct deciban_model {
  float logprob; /* of every byte, in nats */
};

struct deciban_batch {
  size_t n;
  float* logits; /* n rows of kVocabulary, all 0 */
};

static int32_t fail(deciban_text_out* error, int32_t code, const char* text) {
  error->put(error, text, strlen(text));
  return code;
}

static int32_t uniform_check(const char* options, size_t options_size, deciban_text_out* error) {
  /* There is nothing to choose, so "options" must be empty.  A plugin with options reads this JSON. */
  static const char kNone[] = "\"options\":{}";
  for (size_t i = 0; i + sizeof kNone - 1 <= options_size; ++i) {
    if (memcmp(options + i, kNone, sizeof kNone - 1) == 0) return DECIBAN_OK;
  }
  return fail(error, DECIBAN_BAD_ARGUMENT, "it has no options; write plugin:uniform");
}

static int32_t uniform_open(const char* options, size_t options_size, deciban_model** model,
                            deciban_text_out* error) {
  const int32_t code = uniform_check(options, options_size, error);
  if (code != DECIBAN_OK) return code;
  *model = malloc(sizeof **model);
  if (*model == NULL) return fail(error, DECIBAN_OUT_OF_MEMORY, "no memory for the model");
  (*model)->logprob = (float)-log(kVocabulary);
  return DECIBAN_OK;
}

static void uniform_close(deciban_model* model) { free(model); }

static int32_t uniform_info(deciban_model* model, deciban_text_out* json, deciban_text_out* error) {
  static const char kInfo[] =
      "{\"n_vocab\": 256, \"name\": \"uniform\", \"family\": \"uniform\", \"start_token\": 0,"
      " \"digest\": \"uniform over 256 bytes, 1\", \"tokenizer\": \"bytes\", \"tokenizer_digest\": "
      "\"bytes\"}";
  (void)model, (void)error;
  json->put(json, kInfo, sizeof kInfo - 1);
  return DECIBAN_OK;
}

static int32_t uniform_encode(deciban_model* model, const char* text, size_t size, deciban_token_out* tokens,
                              deciban_text_out* error) {
  (void)model, (void)error;
  for (size_t i = 0; i < size; ++i) {
    const int32_t token = (unsigned char)text[i];
    tokens->put(tokens, &token, 1);
  }
  return DECIBAN_OK;
}

static int32_t uniform_decode(deciban_model* model, const int32_t* tokens, size_t count,
                              deciban_text_out* text, deciban_text_out* error) {
  (void)model, (void)error;
  for (size_t i = 0; i < count; ++i) {
    const char byte = (char)(unsigned char)tokens[i];
    text->put(text, &byte, 1);
  }
  return DECIBAN_OK;
}

/* All logits are 0: one tile of at most kRows rows serves everybody. */
enum { kRows = 64 };
static const float kLogits[kRows * kVocabulary];

static int32_t uniform_score(deciban_model* model, deciban_source* source, deciban_sink* sink,
                             deciban_text_out* error) {
  deciban_score* scores = NULL;
  size_t room = 0;
  deciban_request request = {.size = sizeof request};
  while (source->next(source, &request)) {
    const size_t count = request.count - request.first;
    if (count > room) {
      deciban_score* larger = realloc(scores, count * sizeof *scores);
      if (larger == NULL) {
        free(scores);
        return fail(error, DECIBAN_OUT_OF_MEMORY, "no memory for the scores of a sequence");
      }
      scores = larger;
      room = count;
    }
    for (size_t i = 0; i < count; ++i) {
      /* Among equals the lowest id is the best. */
      scores[i] = (deciban_score){model->logprob, model->logprob, 0};
    }
    for (size_t i = 0; sink->wants_rows && i < count; i += kRows) {
      const size_t rows = count - i < kRows ? count - i : kRows;
      if (sink->rows(sink, request.index, request.first + i, kLogits, rows, kVocabulary)) break;
    }
    if (sink->scored(sink, request.index, scores, count)) {
      free(scores);
      return DECIBAN_STOPPED;
    }
  }
  free(scores);
  return DECIBAN_OK;
}

static int32_t uniform_memory(deciban_model* model, deciban_memory* memory, deciban_text_out* error) {
  (void)error;
  memory->weights = sizeof model->logprob;
  memory->cache = memory->workspace = memory->device = 0;
  return DECIBAN_OK;
}

static int32_t uniform_batch_open(deciban_model* model, size_t n, deciban_batch** batch,
                                  deciban_text_out* error) {
  (void)model;
  deciban_batch* made = malloc(sizeof *made);
  float* logits = calloc(n * kVocabulary, sizeof *logits);
  if (made == NULL || logits == NULL) {
    free(made);
    free(logits);
    return fail(error, DECIBAN_OUT_OF_MEMORY, "no memory for the batch's logits");
  }
  made->n = n;
  made->logits = logits;
  *batch = made;
  return DECIBAN_OK;
}

static void uniform_batch_close(deciban_batch* batch) {
  free(batch->logits);
  free(batch);
}

static int32_t uniform_batch_step(deciban_batch* batch, const int32_t* tokens, size_t n, const float** logits,
                                  size_t* columns, deciban_text_out* error) {
  (void)tokens;
  if (n != batch->n) return fail(error, DECIBAN_BAD_ARGUMENT, "as many tokens as the batch has sequences");
  *logits = batch->logits;
  *columns = kVocabulary;
  return DECIBAN_OK;
}

/* A model without memory has nothing to reset or to copy, and no state. */
static int32_t uniform_batch_reset(deciban_batch* batch, size_t i, deciban_text_out* error) {
  (void)batch, (void)i, (void)error;
  return DECIBAN_OK;
}
static int32_t uniform_batch_copy(deciban_batch* batch, size_t from, size_t to, deciban_text_out* error) {
  (void)batch, (void)from, (void)to, (void)error;
  return DECIBAN_OK;
}
static uint64_t uniform_batch_state_bytes(const deciban_batch* batch) {
  (void)batch;
  return 0;
}

const deciban_plugin_table* deciban_plugin(void) {
  static const deciban_plugin_table kTable = {
      .abi = DECIBAN_PLUGIN_ABI,
      .size = sizeof(deciban_plugin_table),
      .open = uniform_open,
      .close = uniform_close,
      .info = uniform_info,
      .encode = uniform_encode,
      .decode = uniform_decode,
      .score = uniform_score,
      .check = uniform_check,
      .memory = uniform_memory,
      .batch_open = uniform_batch_open,
      .batch_close = uniform_batch_close,
      .batch_step = uniform_batch_step,
      .batch_reset = uniform_batch_reset,
      .batch_copy = uniform_batch_copy,
      .batch_state_bytes = uniform_batch_state_bytes,
  };
  return &kTable;
}
