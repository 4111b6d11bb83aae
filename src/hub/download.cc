#include "hub/download.h"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "hub/cache.h"
#include "hub/environment.h"
#include "hub/lock.h"
#include "hub/partial_file.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

// Puts a link to the blob where the snapshot wants the file; where links are not to be had or not
// wanted, the blob itself.
void link_blob(const fs::path& blob, const fs::path& file) {
  fs::create_directories(file.parent_path());
  const fs::path target = blob.lexically_relative(file.parent_path());
  std::error_code error;
  if (fs::read_symlink(file, error) == target) return;
  fs::remove(file);
  error = std::make_error_code(std::errc::not_supported);
  if (!switched_on("HF_HUB_DISABLE_SYMLINKS")) fs::create_symlink(target, file, error);
  if (!error) return;
  check(error == std::errc::operation_not_permitted || error == std::errc::not_supported ||
            error == std::errc::operation_not_supported ||
            error == std::errc::function_not_supported,
        "[hub] cannot link ", file.string(), ": ", error.message());
  fs::rename(blob, file);
}

// One model's folder while it is being filled.
class Download {
 public:
  Download(HubClient& client, std::string repo, std::string commit, const PullOptions& options,
           uint64_t& received)
      : client_(client),
        repo_(std::move(repo)),
        commit_(std::move(commit)),
        folder_(repo_folder(repo_)),
        options_(options),
        received_(received) {}

  fs::path snapshot() const { return folder_ / "snapshots" / commit_; }
  bool has(const std::string& file) const { return fs::exists(snapshot() / file); }

  RemoteFile ask(const std::string& file) { return client_.file(repo_, commit_, file); }

  // Fails where the disk cannot hold what is still to come.
  void check_space(const std::vector<RemoteFile>& files) const {
    uint64_t needed = 0;
    for (const RemoteFile& file : files) {
      const fs::path blob = blob_path(file);
      std::error_code absent;
      const auto begun = fs::file_size(blob.string() + kIncomplete, absent);
      if (fs::exists(blob) || !file.bytes) continue;
      needed += *file.bytes - (absent ? 0 : std::min<uint64_t>(begun, *file.bytes));
    }
    const uint64_t free = fs::space(folder_).available;
    check(needed <= free, "[hub] ", repo_, " needs ", needed / 1000000 + 1, " MB more in ",
          hub_cache().string(), ", where ", free / 1000000,
          " MB are free: make room (`stemma models`, `stemma rm`), or name another place with "
          "HF_HUB_CACHE");
  }

  // The file's content, whole and checked, and the link to it.
  void fetch(RemoteFile file) {
    constexpr int kMostChanges = 3;
    for (int changes = 0; !fetch_as_known(file); ++changes) {
      check(changes < kMostChanges, "[hub] ", repo_, ": ", file.name,
            " changes on the hub while it is being read");
      file = ask(file.name);
    }
  }

  void create_folders() const {
    fs::create_directories(folder_ / "blobs");
    fs::create_directories(snapshot());
    const fs::path tag = hub_cache() / "CACHEDIR.TAG";  // backups pass over such directories
    if (!fs::exists(tag))
      std::ofstream(tag) << "Signature: 8a477f597d28d172789f06886806bc55\n"
                            "# Models downloaded from a Hugging Face hub.\n";
  }

  // The branch or tag stands for this commit from now on.
  void write_ref(const std::string& revision) const {
    const fs::path ref = folder_ / "refs" / revision;
    const FileLock lock(locks_folder(repo_) / "refs.lock");
    if (revision == commit_ || (fs::exists(ref) && read_file(ref) == commit_)) return;
    fs::create_directories(ref.parent_path());
    write_file(ref, commit_);
  }

 private:
  static constexpr const char* kIncomplete = ".incomplete";

  fs::path blob_path(const RemoteFile& file) const { return folder_ / "blobs" / file.etag; }

  // Receives and links the file, unless somebody else has by the time that it is our turn. False
  // where the hub has another content by now.
  bool fetch_as_known(const RemoteFile& file) {
    const FileLock lock(locks_folder(repo_) / (file.etag + ".lock"), [&] {
      if (options_.notice)
        options_.notice(cat("another process is downloading ", file.name, "; waiting for it"));
    });
    if (has(file.name)) return true;
    const fs::path blob = blob_path(file);
    if (!fs::exists(blob) && !receive(file, blob)) return false;
    link_blob(blob, snapshot() / file.name);
    return true;
  }

  // Receives the file's content. False where the hub has another content by now.
  bool receive(const RemoteFile& file, const fs::path& blob) {
    PartialFile partial(blob.string() + kIncomplete);
    if (!file.has_sha256()) partial.clear();  // nothing could vouch for what is there
    Patience patience = client_.patience();
    std::string sender;
    bool ended = false, discarded = false;
    const auto discard = [&](const std::string& fault) {
      partial.clear();
      ended = false;
      if (!std::exchange(discarded, true)) return;
      partial.remove();
      fail(Code::kFailed, "[hub] ", repo_, ": ", file.name, " arrived damaged twice: ", fault);
    };
    const auto whole = [&] { return file.bytes ? partial.size() >= *file.bytes : ended; };
    while (true) {
      if (whole()) {
        const std::string fault = find_fault(file, partial);
        if (fault.empty()) break;
        discard(fault);
      }
      const Attempt attempt = read_on(file, partial, sender);
      const HttpAnswer& answer = attempt.answer;
      ended = answer.ok();
      if (attempt.changed) {
        partial.remove();
        return false;
      }
      if (whole()) continue;
      if (attempt.foreign || (answer.status == 416 && partial.size() > 0)) {
        discard("its pieces are of different contents");
        continue;
      }
      if (patience.again(answer, attempt.gained >= kProgress)) continue;
      if (!answer.ok() && answer.error.empty()) client_.refuse(cat(repo_, ": ", file.name), answer);
      fail(Code::kFailed, "[hub] ", repo_, ": ", file.name, " broke off at ", partial.size(),
           file.bytes ? cat(" of ", *file.bytes) : "", " bytes, again and again",
           answer.error.empty() ? "" : cat(" (", answer.error, ")"),
           "; the same command goes on from there");
    }
    partial.finish(blob);
    return true;
  }

  struct Attempt {
    HttpAnswer answer;
    uint64_t gained = 0;   // bytes beyond what was here before
    bool changed = false;  // the hub has another content by now
    bool foreign = false;  // what came does not go on where the file ends
  };

  // Asks for the rest of the file. `sender` is the ETag of whoever sent the bytes so far: a CDN's
  // is its own, but must stay the same.
  Attempt read_on(const RemoteFile& file, PartialFile& partial, std::string& sender) {
    const uint64_t begin = partial.size();
    uint64_t most = begin;
    bool begun = false;
    Attempt attempt;
    const auto sink = [&](const HttpAnswer& answer, std::string_view bytes) {
      if (!std::exchange(begun, true)) {
        const std::string last = std::exchange(sender, answer.header("etag"));
        const bool same = last.empty() || sender.empty() || last == sender;
        const std::string range = answer.header("content-range");
        if (begin > 0 && answer.status == 200)
          partial.clear();  // a server without ranges starts over
        else if (begin > 0 && !(same && range.starts_with(cat("bytes ", begin, "-"))))
          attempt.foreign = true;
        if (attempt.foreign) return false;
      }
      partial.append(bytes);
      received_ += bytes.size();
      most = std::max(most, partial.size());
      if (options_.progress) options_.progress(file.name, partial.size(), file.bytes.value_or(0));
      return !file.bytes || partial.size() <= *file.bytes;
    };
    attempt.answer = client_.read(repo_, commit_, file, begin, sink, attempt.changed);
    attempt.gained = most - begin;
    return attempt;
  }

  // What is wrong with a file that has all its bytes; empty where nothing is.
  static std::string find_fault(const RemoteFile& file, const PartialFile& partial) {
    if (file.bytes && partial.size() > *file.bytes)
      return cat("more than its ", *file.bytes, " bytes");
    if (file.has_sha256() && partial.sha256() != file.etag)
      return cat("its SHA-256 is ", partial.sha256(), ", not ", file.etag);
    return "";
  }

  // An attempt that brought this much is not one of those in vain.
  static constexpr uint64_t kProgress = uint64_t{1} << 20;

  HubClient& client_;
  std::string repo_, commit_;
  fs::path folder_;
  const PullOptions& options_;
  uint64_t& received_;
};

}  // namespace

Pulled pull_model(const ModelName& name, const PullOptions& options) {
  HubClient client(options.first_wait, options.notice);
  ModelName asked = name;
  auto revision = client.revision(asked);
  if (!revision && !name.has_organisation()) {
    asked.repo = cat(kDefaultOrganisation, "/", name.repo);
    revision = client.revision(asked);
  }
  if (!revision)
    fail(Code::kNotFound, "[hub] there is no model ", name.repo,
         " on the hub, or it is not shown to everybody: check the name; for a private or gated "
         "model set HF_TOKEN");
  Pulled pulled{.repo = asked.repo,
                .revision = name.revision.empty() ? "main" : name.revision,
                .commit = revision->commit};
  try {
    Download download(client, asked.repo, revision->commit, options, pulled.received);
    pulled.path = download.snapshot();
    const std::vector<std::string> needed = needed_files(revision->files);
    check(!needed.empty(), "[hub] ", asked.repo, " holds no file that Stemma reads");
    download.create_folders();
    std::vector<RemoteFile> absent;
    for (const std::string& file : needed)
      if (!download.has(file)) absent.push_back(download.ask(file));
    download.check_space(absent);
    for (const RemoteFile& file : absent) download.fetch(file);
    download.write_ref(pulled.revision);
    for (const std::string& file : needed) {
      const auto fetched = [&](const RemoteFile& f) { return f.name == file; };
      pulled.files.push_back(
          {file, fs::file_size(pulled.path / file), std::ranges::any_of(absent, fetched)});
    }
  } catch (const fs::filesystem_error& e) {
    fail(Code::kFailed, "[hub] ", e.what());
  }
  return pulled;
}

}  // namespace stemma
