// Runs the built program as a user would, and catches what it says.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/shared_data.h"

namespace deciban {

struct Ended {
  int code = -1;  // exit code, or 128 + the signal
  std::string out, err;
};

// A started program; its output is collected by wait().
class Program {
 public:
  // `words` begins with the program's path.  `environment` is added to this process's; launcher variables are
  // removed.
  explicit Program(const std::vector<std::string>& words,
                   const std::map<std::string, std::string>& environment = {}) {
    int out[2], err[2];
    if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      for (const char* name :
           {"SLURM_PROCID", "SLURM_NTASKS", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "NO_COLOR"}) {
        ::unsetenv(name);
      }
      ::setenv("COLUMNS", "80", 1);
      ::setenv("OMP_WAIT_POLICY", "passive",
               1);  // tests run beside others: threads that spin would only wait longer
      for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
      std::vector<char*> pointers;
      for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
      pointers.push_back(nullptr);
      ::execvp(pointers[0], pointers.data());
      ::_exit(127);
    }
    ::close(out[1]);
    ::close(err[1]);
    out_ = out[0];
    err_ = err[0];
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      wait();
    }
  }

  void signal(int number) const { ::kill(process_, number); }

  Ended wait() {
    Ended ended;
    pollfd files[2] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
    std::string* texts[2] = {&ended.out, &ended.err};
    for (int open = 2; open > 0;) {
      if (::poll(files, 2, -1) < 0) continue;
      for (int i = 0; i < 2; ++i) {
        if (files[i].fd < 0 || files[i].revents == 0) continue;
        char buffer[4096];
        const ssize_t n = ::read(files[i].fd, buffer, sizeof buffer);
        if (n > 0) {
          texts[i]->append(buffer, static_cast<std::size_t>(n));
        } else {
          ::close(files[i].fd);
          files[i].fd = -1;
          --open;
        }
      }
    }
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = -1;
    ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ended;
  }

 private:
  pid_t process_ = -1;
  int out_ = -1, err_ = -1;
};

// deciban with these words.
inline Ended deciban_program(std::vector<std::string> words,
                             const std::map<std::string, std::string>& environment = {}) {
  words.insert(words.begin(), DECIBAN_PROGRAM);
  return Program(words, environment).wait();
}

// A test with a folder of its own and a small corpus in it.
class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("deciban-cli-{}-{}-{}", ::getpid(), test->test_suite_name(), test->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return at(name);
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // A JSON list of `documents` texts of about `bytes` each, all different.
  std::string corpus(std::size_t documents, std::size_t bytes = 120,
                     const std::string& name = "texts.json") const {
    std::string text = "[";
    for (std::size_t i = 0; i < documents; ++i) {
      std::string words = fmt::format("Text {}:", i);
      for (std::size_t k = 0; words.size() < bytes; ++k)
        words += fmt::format(" word{}", (i * 7919 + k * 104729) % 1000);
      text += (i ? ", \"" : "\"") + words + "\"";
    }
    return write(name, text + "]");
  }

  static std::string demo_model() { return (source_dir() / "datasets/demo/rwkv7/model.pth").string(); }

  std::filesystem::path folder_;
};

}  // namespace deciban
