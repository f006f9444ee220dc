#include "cli/serve/serve.h"

#include "cli/commands/command.h"

namespace deciban {
namespace {

void add_serve(CLI::App& app, ServeOptions& options) {
  app.add_option("-m,--model", options.model, "as for eval: a checkpoint, random:…, plugin:…")
      ->type_name("MODEL")
      ->group("what");
  app.add_option("--name", options.name, "of the model in replies; default: its own")
      ->type_name("NAME")
      ->group("what");
  add_model_options(app, options.how.device, options.how.format, options.how.tokenizer, options.how.threads);
  app.add_option("--host", options.host, "address to listen on; default 127.0.0.1: this machine only")
      ->type_name("HOST")
      ->group("server");
  app.add_option("--port", options.port, "default 8000; 0: a free one")->type_name("N")->group("server");
  app.add_flag("--token", options.token,
               "ask for the token that is in the environment as DECIBAN_SERVE_TOKEN")
      ->group("server");
  app.add_option("--queue", options.queue, "requests that may wait, default 64; more get 503")
      ->type_name("N")
      ->group("server");
  app.add_option("--max-body", options.max_body, "largest body, default 32; larger ones get 413")
      ->type_name("MIB")
      ->group("server");
  app.add_option("--lanes", options.lanes, "texts that are continued at a time, default 8")
      ->type_name("N")
      ->group("server");
}

}  // namespace

Command serve_command() {
  return make_command<ServeOptions>(
      "serve", "answer other tools' requests for log-probabilities over HTTP", "-m MODEL [OPTION…]",
      {"deciban serve -m rwkv7-0.1b.pth --port 8000", "lm_eval --model local-completions --tasks TASK \\",
       "        --model_args model=rwkv7,base_url=http://127.0.0.1:8000/v1/completions",
       "DECIBAN_SERVE_TOKEN=secret deciban serve -m model.pth --host 0.0.0.0 --token"},
      add_serve, [](const ServeOptions& options, const Console& console) { return serve(options, console); });
}

}  // namespace deciban
