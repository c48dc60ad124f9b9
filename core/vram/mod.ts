export {
  type Admission,
  type BackendLimits,
  createLaneAdmission,
  type DeviceState,
  type Lease,
  type LeaseRequest,
  type Shortage,
  type Waiting,
  type WaitReason,
} from "./admission.ts";
