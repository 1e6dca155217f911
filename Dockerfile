# The commands in an image, for newcomers, pods and workers of Apache Beam.
#
#   docker build -t ecg-jax .                                  (CPU)
#   docker build -t ecg-jax --build-arg EXTRA=cuda .           (NVIDIA GPU; run it with --gpus all)
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" ecg-jax predict my_ecg.hea
#   docker build -t ecg-jax-beam --target beam .
ARG PYTHON=3.11
ARG BEAM=2.77.0

FROM apache/beam_python${PYTHON}_sdk:${BEAM} AS sdk

FROM python:${PYTHON}-slim AS installed
ARG EXTRA=
WORKDIR /opt/ecg_jax
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY ecg_jax ecg_jax
COPY configs configs
RUN python -m pip install --no-cache-dir ".${EXTRA:+[$EXTRA]}"
RUN useradd --create-home ecg && mkdir /work && chown ecg /work

# Beam's own program starts the workers; it must be of the version that is installed.
FROM installed AS beam
ARG BEAM
RUN python -m pip install --no-cache-dir "apache-beam==${BEAM}"
COPY --from=sdk /opt/apache/beam /opt/apache/beam
USER ecg
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM installed
USER ecg
WORKDIR /work
ENTRYPOINT ["ecg-jax"]
CMD ["--help"]
