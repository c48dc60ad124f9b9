/**
 * What a child sees of the gateway's environment: a list of names, since keys and database
 * addresses stand beside them. Everything else a backend needs, its `env` says.
 */

const PASSED = new Set([
  ...["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"],
  ...["LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "SSL_CERT_FILE", "SSL_CERT_DIR"],
  ...["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"],
  ...["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH"],
  ...["NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"],
  ...["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "ROCM_PATH"],
  ...["HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_CACHE", "TORCH_HOME"],
]);

/** In the environment of every child and so of all that it starts: how recovery knows them. */
export interface Marker {
  /** SWITCHYARD_PROCESS for a backend's server, SWITCHYARD_JOB for a program that works on a job. */
  readonly variable: "SWITCHYARD_PROCESS" | "SWITCHYARD_JOB";
  readonly value: string;
}

export function environmentFor(
  own: Readonly<Record<string, string | undefined>>,
  configured: Readonly<Record<string, string>>,
  { variable, value }: Marker,
): Record<string, string> {
  const passed = Object.entries(own).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && (PASSED.has(entry[0]) || entry[0].startsWith("LC_")),
  );
  return { ...Object.fromEntries(passed), ...configured, [variable]: value };
}
