/* The C ABI of deciban's plugins: what a shared library offers so that `-m plugin:NAME` measures its models.
 *
 * Plain C11 and nothing else; docs/plugins.md explains it with examples, plugins/uniform.c is the smallest
 * one. The library exports one symbol, deciban_plugin(), which returns a static table of functions.
 *
 * Rules
 * - Texts are UTF-8 (any bytes in what models read and write), given as pointer and length, never ended by 0.
 * - Memory belongs to who made it.  What a call is given is valid during that call; what it hands out through
 *   a callback need only live during the callback.
 * - Functions return DECIBAN_OK or one of the codes below, after one sentence to `error`: what is wrong,
 * where, with which value, what to do.  No exception and no longjmp crosses.
 * - score, the batch functions and close are called from one thread at a time.  info, encode, decode,
 *   normalise and memory are too, but perhaps while score runs on another thread or from within its
 * callbacks.
 * - Versions only append.  `abi` changes when something that exists changes its meaning; who reads a struct
 * of the other side looks at its `size` before each field that ABI 1 did not have from the beginning.
 */
#ifndef DECIBAN_PLUGIN_API_H_
#define DECIBAN_PLUGIN_API_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DECIBAN_PLUGIN_ABI 1u
/* The exported symbol, for dlsym(). */
#define DECIBAN_PLUGIN_SYMBOL "deciban_plugin"

enum {
  DECIBAN_OK = 0,
  DECIBAN_FAILED = 1,        /* anything not listed below */
  DECIBAN_BAD_ARGUMENT = 2,  /* a mistake in what the user or the caller gave */
  DECIBAN_OUT_OF_MEMORY = 3, /* of the machine or of a device */
  DECIBAN_STOPPED = 4,       /* a callback asked to stop; the host knows why */
  DECIBAN_UNSUPPORTED = 5    /* of batch_open: this model can only score */
};

typedef struct deciban_model deciban_model; /* the plugin's own */
typedef struct deciban_batch deciban_batch; /* the plugin's own */

/* Where a function puts text: each call of put() appends.  The host's; derived by it, so pass `self` along.
 */
typedef struct deciban_text_out deciban_text_out;
struct deciban_text_out {
  void (*put)(deciban_text_out* self, const char* data, size_t size);
};

/* Where encode() puts tokens, in order, in as many calls as it likes. */
typedef struct deciban_token_out deciban_token_out;
struct deciban_token_out {
  void (*put)(deciban_token_out* self, const int32_t* tokens, size_t count);
};

/* A sequence to score: all `count` tokens are read; tokens[first], tokens[first + 1], … are scored, each
 * given all before it.  1 <= first <= count.  The tokens are the host's and valid until the sequence was
 * delivered. */
typedef struct deciban_request {
  size_t size;  /* sizeof(deciban_request); set by who calls next() */
  size_t index; /* counts from 0 in the order of next(); to be given back with the result */
  const int32_t* tokens;
  size_t count;
  size_t first;
  size_t shared; /* a hint: so many leading tokens equal those of the request before; may change no result */
} deciban_request;

/* The score of one token, in nats.  best: the most probable token there, the lowest id among equals. */
typedef struct deciban_score {
  float logprob;
  float best_logprob;
  int32_t best;
} deciban_score;

/* Where score() gets its sequences.  Any thread of the plugin may call, one at a time. */
typedef struct deciban_source deciban_source;
struct deciban_source {
  size_t size;
  /* Fills *request and returns 1, or returns 0 at the end (and ever after). */
  int32_t (*next)(deciban_source* self, deciban_request* request);
};

/* Where score() delivers, in any order; every index once, either scored or failed.  Any thread of the plugin
 * may call, one at a time, also beside next().  A return value other than 0 asks score() to return
 * DECIBAN_STOPPED soon. */
typedef struct deciban_sink deciban_sink;
struct deciban_sink {
  size_t size;
  /* scores[i] belongs to tokens[first + i]; count = the request's count - first. */
  int32_t (*scored)(deciban_sink* self, size_t index, const deciban_score* scores, size_t count);
  int32_t (*failed)(deciban_sink* self, size_t index, const char* reason, size_t reason_size);
  /* Not 0: give each scored position's row of logits first (any additive constant), in tiles of some rows:
   * row i predicts the token at `position` + i; positions ascend within an index.  A plugin whose info says
   * "rows": false is never asked. */
  int32_t wants_rows;
  int32_t (*rows)(deciban_sink* self, size_t index, size_t position, const float* logits, size_t rows,
                  size_t columns);
};

/* Bytes held now, by purpose; 0 where unknown. */
typedef struct deciban_memory {
  size_t size;        /* sizeof(deciban_memory); set by who calls memory() */
  uint64_t weights;   /* parameters in the format they are computed in */
  uint64_t cache;     /* recurrent states or KV caches */
  uint64_t workspace; /* activations and scratch */
  uint64_t device;    /* of all the above, how much lies on an accelerator */
} deciban_memory;

typedef struct deciban_plugin_table {
  uint32_t abi;  /* DECIBAN_PLUGIN_ABI */
  uint32_t size; /* sizeof(deciban_plugin_table) */

  /* Opens a model.  `options` is a JSON object, without spaces between its parts:
   *   {"spec": "plugin:NAME,…", "options": {"KEY": "VALUE", …},             what the user wrote
   *    "device": "auto", "format": "auto", "tokenizer": "auto", "threads": 0, "chunk_rows": 0,
   *    "deterministic": false}                                              as ModelOptions in engine/lm.h
   * More keys may come.  Unknown keys of "options" should be refused, since they are the user's. */
  int32_t (*open)(const char* options, size_t options_size, deciban_model** model, deciban_text_out* error);
  void (*close)(deciban_model* model);
  /* A JSON object.  Required: "n_vocab".  docs/plugins.md lists the others. */
  int32_t (*info)(deciban_model* model, deciban_text_out* json, deciban_text_out* error);
  int32_t (*encode)(deciban_model* model, const char* text, size_t size, deciban_token_out* tokens,
                    deciban_text_out* error);
  int32_t (*decode)(deciban_model* model, const int32_t* tokens, size_t count, deciban_text_out* text,
                    deciban_text_out* error);
  /* Pulls sequences while it has room and delivers each when it is done.  An error of one sequence goes to
   * sink->failed; only what ends everything is returned. */
  int32_t (*score)(deciban_model* model, deciban_source* source, deciban_sink* sink, deciban_text_out* error);

  /* From here on everything may be NULL. */

  /* What open() would say of a missing, foreign or incomplete model, without loading weights. */
  int32_t (*check)(const char* options, size_t options_size, deciban_text_out* error);
  /* What encode() makes of a text before it splits it.  NULL: nothing. */
  int32_t (*normalise)(deciban_model* model, const char* text, size_t size, deciban_text_out* normal,
                       deciban_text_out* error);
  int32_t (*memory)(deciban_model* model, deciban_memory* memory, deciban_text_out* error);

  /* `n` sequences in lockstep, none of which has read anything.  All but batch_step_best go together: all or
   * none of them are NULL. */
  int32_t (*batch_open)(deciban_model* model, size_t n, deciban_batch** batch, deciban_text_out* error);
  void (*batch_close)(deciban_batch* batch);
  /* Feeds tokens[i] to sequence i; *logits gets n rows of *columns = n_vocab logits of what follows, the
   * plugin's memory, valid until the next call with this batch. */
  int32_t (*batch_step)(deciban_batch* batch, const int32_t* tokens, size_t n, const float** logits,
                        size_t* columns, deciban_text_out* error);
  /* The same for whoever only wants the best next token of each sequence (logprob = best_logprob). */
  int32_t (*batch_step_best)(deciban_batch* batch, const int32_t* tokens, size_t n, deciban_score* best,
                             deciban_text_out* error);
  int32_t (*batch_reset)(deciban_batch* batch, size_t i, deciban_text_out* error);
  int32_t (*batch_copy)(deciban_batch* batch, size_t from, size_t to, deciban_text_out* error);
  /* Bytes of all n sequences' states now. */
  uint64_t (*batch_state_bytes)(const deciban_batch* batch);
  /* Sequence i reads `count` tokens at once, without logits: what leads up to the steps that somebody wants.
   * May be NULL where the others are not; then all tokens are fed to batch_step.  Returns DECIBAN_UNSUPPORTED
   * if this batch can only step, and nothing was read. */
  int32_t (*batch_read)(deciban_batch* batch, size_t i, const int32_t* tokens, size_t count,
                        deciban_text_out* error);
} deciban_plugin_table;

typedef const deciban_plugin_table* deciban_plugin_fn(void);

/* What a plugin defines. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const deciban_plugin_table*
deciban_plugin(void);

#ifdef __cplusplus
}
#endif

#endif /* DECIBAN_PLUGIN_API_H_ */
