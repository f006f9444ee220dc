#include "cli/serve/serve.h"

#include <fmt/format.h>
#include <httplib.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "cli/interrupt.h"
#include "cli/serve/completions.h"
#include "cli/serve/scheduler.h"

namespace deciban {
namespace {

using httplib::Request;
using httplib::Response;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kTokenVariable = "DECIBAN_SERVE_TOKEN";
constexpr const char* kJson = "application/json";
constexpr std::size_t kSpareThreads = 8;  // for requests that only find out that the queue is full
constexpr const char* kRetryAfterSeconds = "1";

void answer(Response& response, const ordered_json& body, int status = 200) {
  response.status = status;
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace), kJson);
}

// As OpenAI's servers put it, so that clients show the text.
void refuse(Response& response, int status, const std::string& type, const std::string& text) {
  answer(response, {{"error", {{"message", text}, {"type", type}, {"code", status}}}}, status);
}

// Takes as long whatever the difference.
bool equal_secrets(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference |= static_cast<unsigned char>(b[i] ^ (i < a.size() ? a[i] : 0));
  }
  return difference == 0;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

class Service {
 public:
  Service(const ServeOptions& options, LanguageModel& model, std::string secret)
      : options_(options),
        model_(model),
        text_(model),
        secret_(std::move(secret)),
        name_(!options.name.empty() ? options.name : model.info().name),
        scheduler_(model, options.queue, options.lanes) {
    const std::size_t threads = options.queue + kSpareThreads;
    server_.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };
    server_.set_payload_max_length(options.max_body << 20);
    server_.set_keep_alive_timeout(5);
    server_.set_keep_alive_max_count(1u << 20);
    server_.set_tcp_nodelay(true);
    // Without the library's SO_REUSEPORT, by which two servers would share a port and nobody would notice.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_pre_routing_handler(
        [this](const Request& request, Response& response) { return admit(request, response); });
    server_.set_exception_handler(
        [](const Request&, Response& response, std::exception_ptr error) { explain(response, error); });
    server_.set_error_handler([](const Request& request, Response& response) {
      if (!response.body.empty()) return;
      refuse(response, response.status, "invalid_request_error",
             response.status == 404   ? fmt::format("there is no {} {}", request.method, request.path)
             : response.status == 413 ? "the body is larger than this server takes (--max-body)"
                                      : fmt::format("HTTP error {}", response.status));
    });
    server_.Get("/health", [this](const Request&, Response& response) { health(response); });
    server_.Get("/v1/models", [this](const Request&, Response& response) { models(response); });
    server_.Get("/tokenizer_info", [this](const Request&, Response& response) { tokenizer_info(response); });
    server_.Post("/tokenize",
                 [this](const Request& request, Response& response) { tokenize(request, response); });
    server_.Post("/detokenize",
                 [this](const Request& request, Response& response) { detokenize(request, response); });
    server_.Post("/v1/completions",
                 [this](const Request& request, Response& response) { complete(request, response); });
  }

  int bind() {
    if (options_.port == 0) return server_.bind_to_any_port(options_.host);
    return server_.bind_to_port(options_.host, options_.port) ? options_.port : -1;
  }
  // Until stop(); then finishes the requests that are being served.
  void run() { server_.listen_after_bind(); }
  void stop() { server_.stop(); }

 private:
  httplib::Server::HandlerResponse admit(const Request& request, Response& response) const {
    constexpr std::string_view kBearer = "Bearer ";
    if (secret_.empty() || request.path == "/health") return httplib::Server::HandlerResponse::Unhandled;
    const std::string given = request.get_header_value("Authorization");
    if (given.starts_with(kBearer) &&
        equal_secrets(std::string_view(given).substr(kBearer.size()), secret_)) {
      return httplib::Server::HandlerResponse::Unhandled;
    }
    response.set_header("WWW-Authenticate", "Bearer");
    refuse(response, 401, "authentication_error", "this server asks for a token (Authorization: Bearer …)");
    return httplib::Server::HandlerResponse::Handled;
  }

  static void explain(Response& response, std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const BadRequest& mistake) {
      refuse(response, 400, "invalid_request_error", mistake.what());
    } catch (const Busy& busy) {
      response.set_header("Retry-After", kRetryAfterSeconds);
      refuse(response, 503, "overloaded_error", busy.what());
    } catch (const std::exception& failure) {
      refuse(response, 500, "server_error", failure.what());
    }
  }

  void health(Response& response) const {
    answer(response, {{"status", "ok"}, {"model", name_}, {"waiting", scheduler_.waiting()}});
  }

  void models(Response& response) const {
    const ModelInfo& info = model_.info();
    ordered_json entry{{"id", name_},           {"object", "model"},     {"created", created_},
                       {"owned_by", "deciban"}, {"digest", info.digest}, {"mode", info.format}};
    entry["max_model_len"] = info.context_limit ? ordered_json(*info.context_limit) : ordered_json(nullptr);
    answer(response, {{"object", "list"}, {"data", {entry}}});
  }

  void tokenizer_info(Response& response) const {
    const auto& end = text_.end_of_text();
    const ordered_json word = end ? ordered_json(*end) : ordered_json(nullptr);
    answer(response, {{"tokenizer_class", model_.info().tokenizer},
                      {"vocab_size", model_.info().vocabulary},
                      {"bos_token", word},
                      {"eos_token", word},
                      {"pad_token", nullptr},
                      {"chat_template", nullptr}});
  }

  static json object_of(const Request& request) {
    json body = json::parse(request.body, nullptr, false);
    if (!body.is_object()) throw BadRequest("the body is not a JSON object");
    return body;
  }

  void tokenize(const Request& request, Response& response) const {
    const json body = object_of(request);
    if (!body.contains("prompt") || !body["prompt"].is_string())
      throw BadRequest("\"prompt\" must be a text");
    std::vector<Token> tokens = text_.encode(body["prompt"].get<std::string>());
    const auto start = model_.info().start_token;
    const auto special = body.find("add_special_tokens");
    if (special != body.end() && special->is_boolean() && special->get<bool>() && start) {
      tokens.insert(tokens.begin(), *start);
    }
    answer(response,
           {{"tokens", tokens},
            {"count", tokens.size()},
            {"max_model_len", model_.info().context_limit ? ordered_json(*model_.info().context_limit)
                                                          : ordered_json(nullptr)}});
  }

  void detokenize(const Request& request, Response& response) const {
    const json body = object_of(request);
    if (!body.contains("tokens") || !body["tokens"].is_array()) throw BadRequest("\"tokens\" must be a list");
    std::string text;
    std::vector<Token> run;  // of ordinary tokens, decoded together
    const auto flush = [&] {
      text += model_.decode(run);
      run.clear();
    };
    for (const json& value : body["tokens"]) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= model_.info().vocabulary) {
        throw BadRequest(fmt::format("\"tokens\": {} is not a token from 0 to {}", value.dump(),
                                     model_.info().vocabulary - 1));
      }
      const Token token = value.get<Token>();
      if (token == model_.info().start_token) {
        flush();
        text += *text_.end_of_text();
      } else {
        run.push_back(token);
      }
    }
    flush();
    answer(response, {{"prompt", text}});
  }

  void complete(const Request& request, Response& response) {
    const CompletionRequest asked = parse_completion_request(request.body, text_);
    const std::vector<Completion> completions = scheduler_.complete(prompts_of(asked, text_));
    ordered_json body{{"id", fmt::format("cmpl-{}", ++requests_)},
                      {"object", "text_completion"},
                      {"created", static_cast<std::int64_t>(std::time(nullptr))},
                      {"model", name_}};
    body.update(completion_reply(asked, completions, text_));
    answer(response, body);
  }

  const ServeOptions& options_;
  LanguageModel& model_;
  const ServedText text_;
  const std::string secret_, name_;
  const std::int64_t created_ = std::time(nullptr);
  std::atomic<std::uint64_t> requests_ = 0;
  Scheduler scheduler_;
  httplib::Server server_;
};

std::string secret_of(const ServeOptions& options) {
  if (!options.token) return {};
  const char* set = std::getenv(kTokenVariable);
  if (set == nullptr || *set == '\0') {
    throw std::invalid_argument(
        fmt::format("--token: put the token into the environment: {}=…", kTokenVariable));
  }
  return set;
}

}  // namespace

int serve(const ServeOptions& options, const Console& console) {
  if (options.model.empty()) throw std::invalid_argument("which model? Give one: -m FILE");
  if (options.port < 0 || options.port > 65535) {
    throw std::invalid_argument(fmt::format("--port {}: must be from 0 (a free one) to 65535", options.port));
  }
  if (options.queue < 1 || options.queue > 4096) {
    throw std::invalid_argument(fmt::format("--queue {}: must be from 1 to 4096", options.queue));
  }
  if (options.max_body < 1 || options.max_body > 4096) {
    throw std::invalid_argument(fmt::format("--max-body {}: must be from 1 to 4096 MiB", options.max_body));
  }
  if (options.lanes < 1) throw std::invalid_argument("--lanes 0: must be at least 1");
  const std::string secret = secret_of(options);
  ::signal(SIGPIPE, SIG_IGN);  // a client that hangs up is no reason to end
  const auto model = open_model(options.model, options.how);
  Service service(options, *model, secret);
  const int port = service.bind();
  if (port < 0) {
    throw std::runtime_error(
        fmt::format("{}:{} cannot be listened on: is something else there? Another port: --port N (0: a free "
                    "one)",
                    options.host, options.port));
  }
  catch_interrupts();
  if (!is_loopback(options.host) && secret.empty()) {
    console.warn(fmt::format("{} is reachable from other machines, and no token is asked for (--token)",
                             options.host));
  }
  const bool bare = options.host.find(':') != std::string::npos;
  console.note(fmt::format("{} on {}, {}; listening on http://{}{}{}:{}  (Ctrl-C ends)", model->info().name,
                           model->info().device, model->info().format, bare ? "[" : "", options.host,
                           bare ? "]" : "", port));
  std::jthread watch([&](const std::stop_token& over) {
    while (!interrupted() && !over.stop_requested())
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    service.stop();
  });
  service.run();
  console.note("stopped");
  return kDone;
}

}  // namespace deciban
