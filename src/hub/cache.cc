#include "hub/cache.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "hub/environment.h"
#include "hub/lock.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolderPrefix = "models--";

fs::path cache_home() {
  return path_variable("XDG_CACHE_HOME", path_variable("HOME", "/") / ".cache");
}

// "models--org--name".
std::string folder_name(std::string_view repo) {
  std::string name(kFolderPrefix);
  for (const char ch : repo) name += ch == '/' ? std::string("--") : std::string(1, ch);
  return name;
}

// Entries of a directory by name; none where there is no such directory.
std::vector<fs::path> entries(const fs::path& directory) {
  std::error_code absent;
  std::vector<fs::path> all;
  for (fs::directory_iterator at(directory, absent), end; !absent && at != end;
       at.increment(absent))
    all.push_back(at->path());
  std::ranges::sort(all);
  return all;
}

// Files and links below a directory, links not followed.
std::vector<fs::path> files_below(const fs::path& directory) {
  std::error_code absent;
  std::vector<fs::path> all;
  for (fs::recursive_directory_iterator at(directory, absent), end; !absent && at != end;
       at.increment(absent))
    if (at->symlink_status().type() != fs::file_type::directory) all.push_back(at->path());
  std::ranges::sort(all);
  return all;
}

bool is_folder(const fs::path& path) {
  std::error_code absent;
  return fs::is_directory(path, absent);
}

bool is_there(const fs::path& path) {
  std::error_code absent;
  return fs::exists(path, absent);
}

// The path a link names, one step, without asking whether it is there; `path` where it is no link.
fs::path link_target(const fs::path& path) {
  std::error_code none;
  const fs::path target = fs::read_symlink(path, none);
  return none ? path : (path.parent_path() / target).lexically_normal();
}

// Bytes behind a path; 0 where a link leads nowhere.
uint64_t size_of(const fs::path& path) {
  std::error_code absent;
  const auto bytes = fs::file_size(path, absent);
  return absent ? 0 : bytes;
}

std::string short_commit(std::string_view commit) { return std::string(commit.substr(0, 12)); }

// A file that a model needs and the directory lacks; empty where it is complete.
std::string missing_file(const fs::path& directory) {
  if (!is_there(directory / "config.json") && !is_there(directory / "modules.json"))
    return "config.json";
  constexpr const char* kWeights = "model.safetensors";
  constexpr const char* kIndex = "model.safetensors.index.json";
  if (is_there(directory / kWeights)) return "";
  if (is_there(directory / kIndex)) {
    try {
      const Json index = Json::parse_file(directory / kIndex);
      for (const auto& [tensor, shard] : index.at("weight_map").members())
        if (!is_there(directory / shard.as_string())) return shard.as_string();
      return "";
    } catch (const Error&) {
      return kIndex;
    }
  }
  // Modules of a sentence-transformers model, and weights under other names.
  for (const fs::path& file : files_below(directory))
    if (file.extension() == ".safetensors" && is_there(file)) return "";
  return kWeights;
}

// The commit a branch or tag stands for.
std::string read_ref(const fs::path& file) {
  constexpr size_t kLongest = 256;
  try {
    std::string commit = read_file(file, kLongest);
    commit.erase(commit.find_last_not_of(" \r\n") + 1);
    return commit;
  } catch (const Error&) {
    return "";
  }
}

// The snapshot of a revision: a branch or tag, a commit, or the first digits of one. Without a
// revision: main, or the only snapshot there is.
std::optional<fs::path> find_snapshot(const fs::path& folder, const std::string& revision) {
  const fs::path snapshots = folder / "snapshots";
  const std::string wanted = revision.empty() ? "main" : revision;
  for (const std::string& commit : {read_ref(folder / "refs" / wanted), wanted})
    if (is_inner_path(commit) && is_folder(snapshots / commit)) return snapshots / commit;
  constexpr size_t kShortestPrefix = 7;
  if (!revision.empty() && revision.size() < kShortestPrefix) return std::nullopt;
  std::vector<fs::path> found;
  for (const fs::path& snapshot : entries(snapshots))
    if (snapshot.filename().string().starts_with(revision)) found.push_back(snapshot);
  return found.size() == 1 ? std::optional(found[0]) : std::nullopt;
}

// Every file of the model's folder that takes space: links take none.
uint64_t bytes_on_disk(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const fs::path& file : files_below(folder))
    if (!fs::is_symlink(file)) bytes += size_of(file);
  return bytes;
}

std::vector<CachedModel> revisions_of(const fs::path& folder, const std::string& repo) {
  std::map<std::string, std::vector<std::string>> refs;
  for (const fs::path& file : files_below(folder / "refs"))
    refs[read_ref(file)].push_back(file.lexically_relative(folder / "refs").string());
  std::vector<CachedModel> all;
  for (const fs::path& snapshot : entries(folder / "snapshots")) {
    if (!is_folder(snapshot)) continue;
    CachedModel model{.name = repo, .commit = snapshot.filename().string(), .path = snapshot};
    model.refs = refs[model.commit];
    std::set<fs::path> contents;
    for (const fs::path& file : files_below(snapshot)) contents.insert(link_target(file));
    for (const fs::path& content : contents) model.bytes += size_of(content);
    model.missing = missing_file(snapshot);
    all.push_back(std::move(model));
  }
  // A download that was cut before its first file was whole.
  if (all.empty() && is_folder(folder))
    all.push_back(
        {.name = repo, .path = folder, .bytes = bytes_on_disk(folder), .missing = "config.json"});
  return all;
}

CachedModel own_copy(const std::string& name) {
  const fs::path path = own_cache() / name;
  return {.name = name,
          .own = true,
          .path = path,
          .bytes = bytes_on_disk(path),
          .missing = missing_file(path)};
}

// Removes one snapshot, the refs to it, and the blobs that only it uses.
uint64_t remove_snapshot(const fs::path& folder, const CachedModel& model) {
  for (const std::string& ref : model.refs) fs::remove(folder / "refs" / ref);
  std::set<fs::path> kept;
  for (const fs::path& other : entries(folder / "snapshots"))
    if (other != model.path)
      for (const fs::path& file : files_below(other)) kept.insert(link_target(file));
  uint64_t bytes = 0;
  std::set<fs::path> blobs;
  for (const fs::path& file : files_below(model.path)) {
    const fs::path content = link_target(file);
    if (content == file)
      bytes += size_of(file);  // a filesystem without links: the content itself
    else if (content.parent_path() == folder / "blobs" && !kept.contains(content))
      blobs.insert(content);
  }
  fs::remove_all(model.path);
  for (const fs::path& blob : blobs) {
    if (!fs::is_symlink(blob)) bytes += size_of(blob);
    fs::remove(blob);
  }
  fs::remove_all(folder / ".no_exist" / model.commit);
  fs::remove(folder / "trees" / (model.commit + ".json"));
  return bytes;
}

// Locks of every blob that is being or was downloaded; held while a model is removed.
std::vector<FileLock> lock_all(const std::string& repo) {
  std::vector<FileLock> locks;
  for (const fs::path& file : entries(locks_folder(repo))) {
    auto lock = FileLock::try_lock(file);
    check(lock.has_value(), "[hub] another process is downloading ", repo,
          ": wait for it, or stop it");
    locks.push_back(std::move(*lock));
  }
  return locks;
}

}  // namespace

fs::path hugging_face_home() { return path_variable("HF_HOME", cache_home() / "huggingface"); }

fs::path hub_cache() {
  return path_variable("HF_HUB_CACHE",
                       path_variable("HUGGINGFACE_HUB_CACHE", hugging_face_home() / "hub"));
}

fs::path own_cache() { return path_variable("STEMMA_CACHE", cache_home() / "stemma") / "models"; }

fs::path repo_folder(std::string_view repo) { return hub_cache() / folder_name(repo); }

fs::path locks_folder(std::string_view repo) { return hub_cache() / ".locks" / folder_name(repo); }

fs::path resolve_model(const std::string& text, Need need) {
  if (!text.empty() && is_there(text)) return text;
  const auto name = parse_model_name(text);
  if (!name)
    fail(Code::kNotFound, "[model] there is no directory \"", text,
         "\", and a model's name would be org/name, org/name@revision or hf://org/name");

  std::vector<std::string> repos = {name->repo};
  const std::string organisation = cat(kDefaultOrganisation, "/");
  std::string own;  // the name it would have in Stemma's own folder
  if (!name->has_organisation()) {
    repos.push_back(organisation + name->repo);
    own = name->repo;
  } else if (name->repo.starts_with(organisation)) {
    own = name->repo.substr(organisation.size());
  }
  if (!name->revision.empty()) own.clear();

  std::string looked, partly;
  const auto fits = [&](const fs::path& directory, const std::string& place) {
    const std::string missing = need == Need::weights ? missing_file(directory) : "";
    if (!missing.empty() && partly.empty())
      partly = cat("[model] ", place, " is here only in part: ", missing, " is not in ",
                   directory.string());
    return missing.empty();
  };
  for (const std::string& repo : repos) {
    const fs::path folder = repo_folder(repo);
    if (const auto snapshot = find_snapshot(folder, name->revision)) {
      if (fits(*snapshot, repo)) return *snapshot;
      continue;
    }
    looked += cat(looked.empty() ? "" : ", ", folder.string());
    std::string others;
    for (const CachedModel& other : revisions_of(folder, repo)) {
      others += cat(others.empty() ? "" : ", ", short_commit(other.commit));
      for (const std::string& ref : other.refs) others += cat(" (", ref, ")");
    }
    if (!others.empty()) looked += cat(" (which has ", others, ")");
  }
  if (!own.empty()) {
    if (is_folder(own_cache() / own) && fits(own_cache() / own, own)) return own_cache() / own;
    looked += cat(looked.empty() ? "" : ", ", (own_cache() / own).string());
  }
  if (!partly.empty())
    fail(Code::kNotFound, partly, "; `stemma pull ", name->text(), "` fetches what is missing");
  fail(Code::kNotFound, "[model] ", name->text(),
       " is not on this machine: there is no directory \"", text, "\", nor ", looked,
       "; `stemma pull ", name->text(), "` fetches it");
}

std::vector<CachedModel> cached_models() {
  std::vector<CachedModel> all;
  for (const fs::path& folder : entries(hub_cache())) {
    std::string repo = folder.filename().string();
    if (!repo.starts_with(kFolderPrefix)) continue;
    repo.erase(0, kFolderPrefix.size());
    if (const size_t at = repo.find("--"); at != repo.npos)
      repo = cat(repo.substr(0, at), "/", repo.substr(at + 2));
    if (!parse_model_name(repo)) continue;
    for (CachedModel& model : revisions_of(folder, repo)) all.push_back(std::move(model));
  }
  for (const fs::path& folder : entries(own_cache())) {
    const std::string name = folder.filename().string();
    if (is_folder(folder) && parse_model_name(name)) all.push_back(own_copy(name));
  }
  std::ranges::stable_sort(all, {}, &CachedModel::name);
  return all;
}

Removed remove_model(const ModelName& name) {
  const fs::path folder = repo_folder(name.repo);
  std::optional<fs::path> one;
  if (!name.revision.empty()) one = find_snapshot(folder, name.revision);
  Removed removed;
  size_t left = 0;
  for (CachedModel& model : revisions_of(folder, name.repo)) {
    if (name.revision.empty() || model.path == one)
      removed.models.push_back(std::move(model));
    else
      ++left;
  }
  try {
    if (!removed.models.empty()) {
      const std::vector<FileLock> locks = lock_all(name.repo);
      if (left == 0) {
        removed.bytes += bytes_on_disk(folder);
        fs::remove_all(folder);
        fs::remove_all(locks_folder(name.repo));
      } else {
        for (const CachedModel& model : removed.models)
          removed.bytes += remove_snapshot(folder, model);
      }
    }
    if (const fs::path path = own_cache() / name.repo;
        !name.has_organisation() && name.revision.empty() && is_folder(path)) {
      CachedModel own = own_copy(name.repo);
      removed.bytes += own.bytes;
      fs::remove_all(path);
      removed.models.push_back(std::move(own));
    }
  } catch (const fs::filesystem_error& e) {
    fail(Code::kFailed, "[hub] cannot remove ", name.text(), ": ", e.what());
  }
  if (removed.models.empty())
    fail(Code::kNotFound, "[hub] ", name.text(), " is neither in ", hub_cache().string(),
         " nor in ", own_cache().string(), "; `stemma models` lists what is");
  return removed;
}

}  // namespace stemma
