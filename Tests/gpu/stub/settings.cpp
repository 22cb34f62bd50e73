// What the stub is told, by the environment or the file beside it.
#include "stub.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <sstream>

std::string own_directory() {
    Dl_info info = {};
    dladdr(reinterpret_cast<void *>(&own_directory), &info);
    const std::string path = info.dli_fname ? info.dli_fname : "";
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

void say(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "stub libcuda: %s\n", text);
}

static std::map<std::string, std::string> read_names() {
    std::map<std::string, std::string> values;
    for (const char *name : {"DEVICES", "MEMORY", "SHARED", "CAPABILITY", "KERNELS", "DELAY", "LOG", "FAIL"}) {
        const char *value = getenv(("GRADDB_STUB_" + std::string(name)).c_str());
        if (value) values[name] = value;
    }
    std::ifstream file(own_directory() + "/stub.env");
    for (std::string line; std::getline(file, line);) {
        const size_t equals = line.find('=');
        if (line.rfind("GRADDB_STUB_", 0) == 0 && equals != std::string::npos)
            values[line.substr(12, equals - 12)] = line.substr(equals + 1);
    }
    return values;
}

static Result usual_code(const std::string &function) {
    if (function == "cuLaunchKernel") return LAUNCH_FAILED;
    return function == "cuMemAlloc_v2" || function == "cuMemHostAlloc" ? OUT_OF_MEMORY : UNKNOWN;
}

static void add_fault(Settings &settings, const std::string &text) {
    if (text == "no-device") {
        settings.has_no_device = true;
        return;
    }
    if (text == "old-driver") {
        settings.version = 11040;
        return;
    }
    const size_t first = text.find(':'), second = text.find(':', first + 1);
    if (first == std::string::npos) {
        say("cannot make sense of GRADDB_STUB_FAIL=%s", text.c_str());
        abort();
    }
    const std::string function = text.substr(0, first);
    const int number = atoi(text.c_str() + first + 1);
    const Result code = second == std::string::npos ? usual_code(function)
                                                    : Result(atoi(text.c_str() + second + 1));
    settings.faults.push_back({function, number, code});
}

static Settings read_settings() {
    Settings settings;
    for (const auto &[name, value] : read_names()) {
        if (name == "DEVICES") settings.devices = atoi(value.c_str());
        if (name == "MEMORY") settings.memory = strtoull(value.c_str(), nullptr, 10);
        if (name == "SHARED") settings.shared = atoi(value.c_str());
        if (name == "DELAY") settings.delay = atoi(value.c_str());
        if (name == "KERNELS") settings.kernels = value;
        if (name == "LOG") settings.log = value;
        if (name == "CAPABILITY")
            sscanf(value.c_str(), "%d.%d", &settings.capability_major, &settings.capability_minor);
        if (name == "FAIL") {
            std::stringstream parts(value);
            for (std::string part; std::getline(parts, part, ',');) add_fault(settings, part);
        }
    }
    if (settings.kernels.empty()) settings.kernels = own_directory() + "/libstub_kernels.so";
    return settings;
}

const Settings &settings() {
    static const Settings *const settings = new Settings(read_settings());
    return *settings;
}
